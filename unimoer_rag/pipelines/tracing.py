"""The stages of an answer: timed always, and traced where OpenTelemetry is installed.

Spans go to the tracer provider that the program has set up; nothing is set up here. A span is the
current one only while its stage's own code runs, never while a stream waits for whoever reads it:
what the reader does meanwhile is no part of the answer, and may happen in another task.

Questions and answers are private: they are told only where OpenTelemetry's own switch for them,
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`, is on. So are the messages of errors, which
may quote them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from unimoer_rag.steps import Steps

if TYPE_CHECKING:
    from types import ModuleType

    from opentelemetry.trace import Span

__all__ = ["Stage", "Trace", "tracing"]

T = TypeVar("T")

_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURING = ("true", "span_only", "span_and_event")


class Stage:
    """A stage under way.

    Args:
        span: None where nothing is traced.
    """

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self.stopped: float | None = None

    def stop(self) -> None:
        """Its work ends here, though more may be told of it."""
        self.stopped, self._stopped_ns = time.perf_counter(), time.time_ns()

    def end(self) -> None:
        """End its span where its work ended, if that was before now."""
        if self._span is not None and self.stopped is not None:
            self._span.end(self._stopped_ns)

    def tell(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to the span, those that are None left out."""
        if self._span is not None:
            self._span.set_attributes({k: v for k, v in attributes.items() if v is not None})

    def quote(self, attributes: Mapping[str, Any]) -> None:
        """`tell`, of words of a question or an answer: only where these are asked for."""
        if _content_wanted():
            self.tell(attributes)

    def working(self) -> AbstractContextManager[object]:
        """A block of the stage's own work: spans that start in it belong to this one."""
        api = _opentelemetry()
        if self._span is None or api is None:
            return nullcontext()
        # What fails is recorded once, where the span ends.
        current: AbstractContextManager[object] = api.use_span(
            self._span, record_exception=False, set_status_on_exception=False
        )
        return current

    def work(self, steps: Steps[T]) -> Steps[T]:
        """Steps that are the stage's own work."""
        with self.working():
            return (yield from steps)


class Trace(Stage):
    """A whole answer on its way, with the time spent in its stages; `tracing` makes it.

    Args:
        span: None where nothing is traced.
    """

    def __init__(self, span: Span | None) -> None:
        super().__init__(span)
        self._started = time.perf_counter()
        self._spent: defaultdict[str, float] = defaultdict(float)

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds of each stage so far, its turns together, and of everything."""
        spent = {**self._spent, "total": time.perf_counter() - self._started}
        return {name: round(seconds * 1000, 2) for name, seconds in spent.items()}

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """A block that is one stage's work from its first line to its last."""
        with self.streaming(name) as stage, stage.working():
            yield stage

    @contextmanager
    def streaming(self, name: str) -> Iterator[Stage]:
        """A block in which the stage's work is what is given to `Stage.work` alone."""
        started = time.perf_counter()
        self._spent[name] += 0.0  # in the order in which stages begin
        with _span(name, self._span) as span:
            stage = Stage(span)
            try:
                yield stage
            finally:
                stage.end()
                self._spent[name] += (stage.stopped or time.perf_counter()) - started


@contextmanager
def tracing() -> Iterator[Trace]:
    """A block in which a question is answered."""
    with _span("answer", None) as span:
        yield Trace(span)


@contextmanager
def _span(name: str, parent: Span | None) -> Iterator[Span | None]:
    """A span over a block, current nowhere; what fails in the block is recorded."""
    api = _opentelemetry()
    if api is None:
        yield None
        return
    context = None if parent is None else api.set_span_in_context(parent)
    span: Span = api.get_tracer("unimoer_rag", _version()).start_span(
        f"unimoer.{name}", context=context
    )
    try:
        yield span
    except (GeneratorExit, asyncio.CancelledError):
        if span.is_recording():
            span.set_attribute("unimoer.cancelled", True)  # nobody wants the rest: no error
        raise
    except BaseException as error:
        if span.is_recording():  # a stage that had ended did not fail
            _record(span, error, api)
        raise
    finally:
        if span.is_recording():
            span.end()


def _record(span: Span, error: BaseException, api: ModuleType) -> None:
    """That an error ended a span; what it says only where words are asked for."""
    name = type(error).__name__
    if _content_wanted():
        span.record_exception(error)
        span.set_status(api.Status(api.StatusCode.ERROR, f"{name}: {error}"))
        return
    # No stack trace either: it ends with the message, and with those of the causes.
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    span.add_event("exception", {"exception.type": kind})
    span.set_status(api.Status(api.StatusCode.ERROR, name))


def _content_wanted() -> bool:
    return os.environ.get(_CONTENT, "").lower() in _CAPTURING


@cache
def _opentelemetry() -> ModuleType | None:
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace


@cache
def _version() -> str:
    return metadata.version("unimoer-rag")
