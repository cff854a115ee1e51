"""What `/metrics` tells Prometheus: requests, how long they and their stages took, cache hits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from unimoer_rag.engine import Engine
from unimoer_rag.extras import needs_extra

with needs_extra("prometheus_client", "serve", "a server"):
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from prometheus_client.core import CounterMetricFamily
    from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client import Metric

    from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["Metrics"]

_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counts of one server.

    Args:
        retriever: whose own counts are told, too.

    Attributes:
        running: requests worked on now.
    """

    def __init__(self, retriever: UnifiedRetriever) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "unimoer_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "unimoer_request_seconds",
            "From a request to its end.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "unimoer_stage_seconds",
            "A stage of a request.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.running = Gauge(
            "unimoer_requests_running", "Requests worked on now.", registry=registry
        )
        self._registry.register(_Library(retriever))

    def count(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        """Count a request that has ended."""
        # By the route and not the path, of which there may be any number.
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A block that is one stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent({name: (time.perf_counter() - started) * 1000})

    def spent(self, timings: Mapping[str, float]) -> None:
        """Stages that have ended, in milliseconds by name."""
        for name, milliseconds in timings.items():
            if name != "total":
                self._stages.labels(name).observe(milliseconds / 1000)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)


class _Library(Collector):
    """What the engine and the retriever count by themselves."""

    def __init__(self, retriever: UnifiedRetriever) -> None:
        self._retriever = retriever

    def collect(self) -> Iterable[Metric]:
        engine = Engine.of(self._retriever.model)
        found, done = self._retriever.stats, engine.stats
        hits = CounterMetricFamily("unimoer_cache_hits", "What caches gave.", labels=["cache"])
        hits.add_metric(["states"], engine.cache.hits)
        hits.add_metric(["query"], found.exact)
        hits.add_metric(["near_query"], found.semantic)
        yield hits
        for name, said, value in (
            ("unimoer_searches", "Queries searched for.", found.searches),
            ("unimoer_reranked", "Queries whose results were reranked.", found.reranked),
            ("unimoer_rows", "Sequences run through the model.", done.rows),
            ("unimoer_truncated", "Sequences that lost their end.", done.truncated),
            ("unimoer_batches", "Forwards of the model.", done.batches),
            ("unimoer_tokens", "Tokens in them.", done.tokens),
        ):
            yield CounterMetricFamily(name, said, value=value)
