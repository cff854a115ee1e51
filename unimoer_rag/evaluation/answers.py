"""Exact match and F1 of short answers, by the rules of their benchmark; see `answer_rules`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from unimoer_rag.data import (
    DEFAULT_RULES,
    WHOLE,
    AnswerRules,
    comparable,
    has_answer,
    normalize_answer,
)
from unimoer_rag.errors import InputError

__all__ = [
    "AnswerRules",
    "AnswerScores",
    "empty_golds",
    "exact_match",
    "f1",
    "has_answer",
    "normalize_answer",
    "per_answer",
    "score_answers",
]


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Scores of a set of answers, in percent.

    Attributes:
        em: exact match, over all questions.
        f1: token F1, over all questions.
        n: questions.
        n_has_answer: questions with an answer.
        has_answer_em: exact match over those, or None when there are none.
        has_answer_f1: F1 over those, or None.
        n_no_answer: questions without an answer.
        no_answer_f1: share of those where the prediction abstained (EM is the same), or None.
    """

    em: float
    f1: float
    n: int
    n_has_answer: int
    has_answer_em: float | None
    has_answer_f1: float | None
    n_no_answer: int
    no_answer_f1: float | None

    def to_dict(self) -> dict[str, float | int | None]:
        """Everything as JSON-ready values."""
        return asdict(self)


def score_answers(
    predictions: Mapping[str, str],
    golds: Mapping[str, Sequence[str]],
    *,
    rules: AnswerRules = DEFAULT_RULES,
) -> AnswerScores:
    """Score predicted answers against accepted ones.

    Args:
        predictions: question id -> answer, "" to abstain. Ids that `golds` lacks are ignored.
        golds: question id -> accepted answers; none at all for a question without an answer.
        rules: those of the benchmark that the questions are of.

    Raises:
        InputError: there are no questions, or some have no prediction. (Counting a gap as an
            abstention would reward it on questions without an answer.)

    Example:
        >>> score_answers({"q": "the red tent"}, {"q": ["red tent", "a tent"]}).em
        100.0
    """
    rows = per_answer(predictions, golds, rules=rules)
    answered = [rows[qid] for qid, accepted in golds.items() if has_answer(accepted, rules=rules)]
    unanswerable = [
        rows[qid] for qid, accepted in golds.items() if not has_answer(accepted, rules=rules)
    ]
    return AnswerScores(
        em=_mean(rows.values(), "em"),
        f1=_mean(rows.values(), "f1"),
        n=len(golds),
        n_has_answer=len(answered),
        has_answer_em=_mean(answered, "em") if answered else None,
        has_answer_f1=_mean(answered, "f1") if answered else None,
        n_no_answer=len(unanswerable),
        no_answer_f1=_mean(unanswerable, "f1") if unanswerable else None,
    )


def per_answer(
    predictions: Mapping[str, str],
    golds: Mapping[str, Sequence[str]],
    *,
    rules: AnswerRules = DEFAULT_RULES,
) -> dict[str, dict[str, float]]:
    """Score every answer: question id -> `em`, `f1` and `abstention`, each 0 to 100.

    Arguments and errors as for `score_answers`.
    """
    if not golds:
        raise InputError("there are no questions with known answers to score")
    gaps = [qid for qid in golds if qid not in predictions]
    if gaps:
        raise InputError(
            f"{len(gaps)} of {len(golds)} questions have no prediction, for example {gaps[0]!r}: "
            'predict "" to abstain'
        )
    return {
        qid: {
            "em": 100 * exact_match(predictions[qid], accepted, rules=rules),
            "f1": 100 * f1(predictions[qid], accepted, rules=rules),
            "abstention": 100.0 * (not predictions[qid]),
        }
        for qid, accepted in golds.items()
    }


def empty_golds(
    golds: Mapping[str, Sequence[str]], *, rules: AnswerRules = DEFAULT_RULES
) -> dict[str, list[str]]:
    """Accepted answers that normalise to nothing, so that no words can be compared.

    Returns:
        Question id -> those of its answers, for the questions that have some.
    """
    found = {
        qid: [gold for gold in accepted if not normalize_answer(gold, rules=rules)]
        for qid, accepted in golds.items()
    }
    return {qid: empty for qid, empty in found.items() if empty}


def exact_match(
    prediction: str, golds: Sequence[str], *, rules: AnswerRules = DEFAULT_RULES
) -> float:
    """1.0 if the prediction equals an accepted answer once both are normalised, else 0.0.

    Arguments as for `f1`.
    """
    predicted, wanted = comparable(prediction, golds, rules=rules)
    return float(predicted in wanted)


def f1(prediction: str, golds: Sequence[str], *, rules: AnswerRules = DEFAULT_RULES) -> float:
    """Harmonic mean of token precision and recall, against the accepted answer it fits best.

    Args:
        prediction: the answer, "" to abstain.
        golds: accepted answers.
        rules: those of the benchmark that the question is of.
    """
    whole = WHOLE.get(rules, frozenset())
    predicted, wanted = comparable(prediction, golds, rules=rules)
    return max(
        float(predicted == gold)
        if {predicted, gold} & whole
        else _token_f1(predicted.split(), gold.split())
        for gold in wanted
    )


def _token_f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    shared = (Counter(predicted) & Counter(gold)).total()
    return 2 * shared / (len(predicted) + len(gold))


def _mean(rows: Collection[Mapping[str, float]], measure: str) -> float:
    return sum(row[measure] for row in rows) / len(rows)
