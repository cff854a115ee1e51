"""Answers judged by ragas: offline by comparison, and by a language model behind a URL.

ragas (Es et al., "RAGAS: Automated Evaluation of Retrieval Augmented Generation", EACL 2024) is
imported only when something is judged, and sends nothing home. A judgement that fails or is no
number is counted with its reason; means are over the others.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.statistics import interval
from unimoer_rag.generation import ChatServer
from unimoer_rag.urls import shown_url, url_secrets, without_secrets

__all__ = ["Embed", "Judge", "Judged", "Sample", "check_judge", "judge_answers"]

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to vectors, float32 `[n, dimensions]`."""

_DIGITS = 5
_REASON = 160  # characters kept of why a judgement failed


@dataclass(frozen=True, slots=True)
class Sample:
    """What there is to judge of one question.

    Attributes:
        question: what was asked.
        answer: what was answered, "" for an abstention.
        references: accepted answers.
        contexts: texts of the passages that the answer was made from, best first.
        reference_contexts: texts of the passages that are relevant.
    """

    question: str
    answer: str
    references: Sequence[str] = ()
    contexts: Sequence[str] = ()
    reference_contexts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Judge:
    """A language model that judges, behind an OpenAI-compatible URL.

    Attributes:
        url: of the interface, such as "http://localhost:8000/v1".
        model: its name there; None for the first one that is served.
        key: sent as a bearer token.
        timeout: seconds that a request may take.
        max_concurrency: requests at a time.
        max_tokens: of one reply.

    Raises:
        InputError: a number is too small.
    """

    url: str
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    max_concurrency: int = 8
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        for name in ("timeout", "max_concurrency", "max_tokens"):
            if (value := getattr(self, name)) <= 0:
                raise InputError(f"{name} of the judge is {value}: expected a positive number")

    def __repr__(self) -> str:
        return f"Judge({shown_url(self.url)!r}, model={self.model!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Judge holds a key: make it where it is used")

    @property
    def secrets(self) -> list[str]:
        """What no message may quote: the key, and what the URL holds beside the place."""
        return [*filter(None, [self.key]), *url_secrets(self.url)]

    def served(self) -> str:
        """The model's name, once its server has answered.

        Raises:
            GeneratorUnavailableError: no server answers, or it stays overloaded.
            GeneratorRefusedError: it refuses the key.
        """
        server = ChatServer(self.url, api_key=self.key, timeout=self.timeout, retries=1)
        try:
            first = server.model
        finally:
            server.close()
        return self.model or first


@dataclass(slots=True)
class Judged:
    """What came of judging.

    Attributes:
        metrics: every metric that was tried.
        rows: question id -> metric -> value, for what could be judged.
        failed: metric -> why it failed -> how often.
        skipped: metric -> questions that lack what it needs.
        model: the judge's name, None without one.
    """

    metrics: Sequence[str]
    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, Counter[str]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    model: str | None = None

    def summary(self, *, seed: int) -> dict[str, dict[str, Any]]:
        """Every metric's mean and interval, and how many were judged, failed and were skipped.

        Args:
            seed: of the resampling behind the intervals.

        Returns:
            JSON-ready: metric -> the fields of `results.Judgement`.
        """
        return {metric: self._summary(metric, seed) for metric in self.metrics}

    def _summary(self, metric: str, seed: int) -> dict[str, Any]:
        values = [row[metric] for row in self.rows.values() if metric in row]
        reasons = self.failed.get(metric, Counter())
        mean = interval(values, seed=seed) if values else None
        return {
            "mean": round(mean.mean, _DIGITS) if mean else None,
            "low": round(mean.low, _DIGITS) if mean else None,
            "high": round(mean.high, _DIGITS) if mean else None,
            "n": len(values),
            "failed": reasons.total(),
            "skipped": self.skipped[metric],
            "reasons": dict(reasons.most_common()),
        }


def check_judge(judge: Judge | None) -> None:
    """Raise what would keep `judge_answers` from judging, before there is anything to judge.

    Raises:
        MissingExtraError: ragas is not installed.
        GeneratorUnavailableError: the judge does not answer.
        GeneratorRefusedError: the judge refuses the key.
    """
    from unimoer_rag.evaluation.ragas_metrics import load_ragas

    load_ragas()
    if judge is not None:
        judge.served()


def judge_answers(
    samples: Mapping[str, Sample],
    *,
    embed: Embed | None = None,
    judge: Judge | None = None,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Judged:
    """Judge answers with every metric of ragas that what is given suffices for.

    Args:
        samples: question id -> what there is to judge; abstentions are not judged.
        embed: embeds texts; without it nothing is compared by meaning.
        judge: a language model; without it only metrics that need none are tried.
        on_progress: called with "judging", what is done and its size.

    Raises:
        MissingExtraError: ragas is not installed.
        GeneratorUnavailableError: the judge does not answer.
        GeneratorRefusedError: the judge refuses the key.
    """
    from unimoer_rag.evaluation.ragas_metrics import make_metrics

    model = judge.served() if judge else None
    metrics = make_metrics(embed=embed, judge=judge, model=model)
    judged = Judged([metric.name for metric in metrics], model=model)
    for metric in metrics:
        judged.failed[metric.name] = Counter()
    # Judgements wait for the judge only, so that so many of them are enough.
    at_once = asyncio.Semaphore(judge.max_concurrency if judge else 1)
    done = 0

    async def one(qid: str, sample: Sample, metric: Any) -> None:
        nonlocal done
        async with at_once:
            try:
                value = await metric.score(sample)
            except Exception as error:  # noqa: BLE001 - anything at all: it is counted and shown
                secrets = judge.secrets if judge else ()
                judged.failed[metric.name][_reason(error, secrets)] += 1
            else:
                if math.isfinite(value):
                    judged.rows.setdefault(qid, {})[metric.name] = round(float(value), _DIGITS)
                else:
                    judged.failed[metric.name][f"the judgement is {value}"] += 1
        done += 1
        on_progress("judging", done, len(wanted))

    wanted = []
    for qid, sample in samples.items():
        for metric in metrics:
            if metric.suits(sample):
                wanted.append((qid, sample, metric))
            else:
                judged.skipped[metric.name] += 1

    async def everything() -> None:
        await asyncio.gather(*(one(*each) for each in wanted))

    # In a thread of its own: the caller's may run an event loop already, as a notebook's does.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, everything()).result()
    return judged


def _reason(error: Exception, secrets: Iterable[str]) -> str:
    """An error in one line, in which no secret is quoted."""
    text = without_secrets(" ".join(f"{type(error).__name__}: {error}".split()), secrets)
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"
