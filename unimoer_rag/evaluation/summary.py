"""Values of single questions, averaged: means and their intervals.

Rows are plain dictionaries: question id -> measure -> value. A question without a measure does not
count in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unimoer_rag.data import AnswerRules, has_answer
from unimoer_rag.evaluation.result_parts import Ends
from unimoer_rag.evaluation.statistics import interval

__all__ = [
    "Intervals",
    "PerQuestion",
    "answer_intervals",
    "columns",
    "intervals",
    "means",
    "rounded",
]

PerQuestion = Mapping[str, Mapping[str, float]]
"""Question id -> measure -> value."""

Intervals = dict[str, Ends]
"""Measure -> the interval of its mean."""

_DIGITS = 5


def columns(rows: PerQuestion) -> dict[str, dict[str, float]]:
    """The same values by measure: measure -> question id -> value."""
    found: dict[str, dict[str, float]] = {}
    for qid, row in rows.items():
        for measure, value in row.items():
            found.setdefault(measure, {})[qid] = value
    return found


def rounded(rows: PerQuestion) -> dict[str, dict[str, float]]:
    """The same values, short enough to be kept for every question."""
    return {
        qid: {m: round(value, _DIGITS) for m, value in row.items()} for qid, row in rows.items()
    }


def means(rows: PerQuestion) -> dict[str, float]:
    """Average every measure over the questions that have it."""
    return {
        measure: round(sum(values.values()) / len(values), _DIGITS)
        for measure, values in columns(rows).items()
    }


def intervals(rows: PerQuestion, *, seed: int) -> Intervals:
    """The 95% interval of every mean, by resampling the questions that have the measure.

    Raises:
        InputError: `seed` is negative, or a value is not finite.
    """
    found: Intervals = {}
    for measure, values in columns(rows).items():
        of_mean = interval(list(values.values()), seed=seed)
        found[measure] = Ends(
            low=round(of_mean.low, _DIGITS), high=round(of_mean.high, _DIGITS), n=of_mean.n
        )
    return found


def answer_intervals(
    rows: PerQuestion,
    golds: Mapping[str, Sequence[str]],
    *,
    seed: int,
    rules: AnswerRules = "squad",
) -> Intervals:
    """`intervals` of answers, and of those to questions with and without an answer alone.

    Args:
        rows: what `per_answer` returns.
        golds: question id -> accepted answers.
        seed: of the resampling.
        rules: whose say what is a question without an answer.
    """

    def parted(qid: str) -> dict[str, float]:
        row = rows[qid]
        if has_answer(golds[qid], rules=rules):
            return {"has_answer_em": row["em"], "has_answer_f1": row["f1"]}
        return {"no_answer_f1": row["f1"]}

    return intervals({qid: {**row, **parted(qid)} for qid, row in rows.items()}, seed=seed)
