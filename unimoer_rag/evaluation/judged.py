"""Answers judged by ragas: offline by comparison, and by a language model behind a URL.

ragas (Es et al., "RAGAS: Automated Evaluation of Retrieval Augmented Generation", EACL 2024) is
imported only when something is judged, and sends nothing home. A judgement that fails or is no
number is counted with its reason; means are over the others.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from unimoer_rag.evaluation.judge import Embed, Judge, Sample
from unimoer_rag.evaluation.ragas_metrics import load_ragas, make_metrics
from unimoer_rag.evaluation.result_parts import Judgement
from unimoer_rag.evaluation.statistics import interval
from unimoer_rag.progress import Progress, silent
from unimoer_rag.urls import without_secrets

__all__ = ["Embed", "Judge", "Judged", "Sample", "check_judge", "judge_answers"]

_DIGITS = 5
_REASON = 160  # characters kept of why a judgement failed


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

    def summary(self, *, seed: int) -> dict[str, Judgement]:
        """Every metric's mean and interval, and how many were judged, failed and were skipped.

        Args:
            seed: of the resampling behind the intervals.
        """
        return {metric: self._summary(metric, seed) for metric in self.metrics}

    def _summary(self, metric: str, seed: int) -> Judgement:
        values = [row[metric] for row in self.rows.values() if metric in row]
        reasons = self.failed.get(metric, Counter())
        mean = interval(values, seed=seed) if values else None
        return Judgement(
            mean=round(mean.mean, _DIGITS) if mean else None,
            low=round(mean.low, _DIGITS) if mean else None,
            high=round(mean.high, _DIGITS) if mean else None,
            n=len(values),
            failed=reasons.total(),
            skipped=self.skipped[metric],
            reasons=dict(reasons.most_common()),
        )


def check_judge(judge: Judge | None) -> None:
    """Raise what would keep `judge_answers` from judging, before there is anything to judge.

    Raises:
        MissingExtraError: ragas is not installed.
        GeneratorUnavailableError: the judge does not answer.
        GeneratorRefusedError: the judge refuses the key.
    """
    load_ragas()
    if judge is not None:
        judge.served()


def judge_answers(
    samples: Mapping[str, Sample],
    *,
    embed: Embed | None = None,
    judge: Judge | None = None,
    on_progress: Progress = silent,
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
