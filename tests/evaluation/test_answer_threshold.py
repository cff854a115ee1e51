"""The confidence to answer from, against trying all of them; and the questions it stands on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.answer_outcomes import Kind, Outcome, answer_outcomes
from unimoer_rag.evaluation.answer_threshold import calibrate_answers


def outcome(
    question: str, kind: Kind, confidence: float, f1: float = 0.0, relevant: float | None = None
) -> Outcome:
    return Outcome(question, kind, confidence, f1, (0.5,), relevant)


def mean(outcomes: list[Outcome], threshold: float, share: float) -> float:
    """By hand: the two kinds apart, then weighed."""
    has = [one.f1 * (one.confidence >= threshold) for one in outcomes if one.answerable]
    none = [float(one.confidence < threshold) for one in outcomes if not one.answerable]
    return share * sum(has) / len(has) + (1 - share) * sum(none) / len(none)


ROWS = st.lists(
    st.tuples(st.integers(0, 99), st.sampled_from([0.0, 0.4, 1.0])), min_size=5, max_size=12
)


@settings(max_examples=20, deadline=None)
@given(ROWS, ROWS, st.sampled_from([0.2, 0.5, 0.8]))
def test_no_other_threshold_has_a_higher_mean(
    has: list[tuple[int, float]], none: list[tuple[int, float]], share: float
) -> None:
    outcomes = [outcome(f"{n}", "answerable", c / 100, f1) for n, (c, f1) in enumerate(has)]
    outcomes += [outcome(f"{n}", "made", c / 100) for n, (c, _) in enumerate(none)]
    found = calibrate_answers(outcomes, share=share)
    best = max(mean(outcomes, at / 1000, share) for at in range(0, 1001, 5))
    assert mean(outcomes, found.threshold, share) == pytest.approx(best)
    assert found.low <= found.high


def test_what_parts_both_kinds_is_found_and_beats_the_default() -> None:
    outcomes = [outcome(f"{n}", "answerable", 0.7 + n / 200, 1.0) for n in range(40)]
    outcomes += [outcome(f"{n}", "made", 0.2 + n / 200) for n in range(40)]
    found = calibrate_answers(outcomes)
    assert found.threshold == 0.55  # between 0.395 and 0.7, in the fewest digits
    assert found.f1.first == 50
    assert found.f1.second >= 95  # where a fold lacks the questions next to the gap

    assert found.better
    assert (found.answerable, found.given, found.made) == (40, 0, 40)
    assert found.to_dict()["default"] == 0.1


def test_where_it_does_not_matter_the_default_is_as_good() -> None:
    outcomes = [outcome(f"{n}", "answerable", 0.9, 1.0) for n in range(6)]
    outcomes += [outcome(f"{n}", "given", -1.0) for n in range(6)]
    found = calibrate_answers(outcomes)
    assert found.threshold == 0.0
    assert found.f1.difference == 0
    assert not found.better


def test_a_question_and_its_twin_are_held_out_together() -> None:
    """Else each would be measured by a threshold that was chosen on the other."""
    rng = np.random.default_rng(0)
    outcomes = [outcome(f"{n}", "answerable", c, 1.0) for n, c in enumerate(rng.random(20))]
    outcomes += [outcome(f"{n}", "made", c) for n, c in enumerate(rng.random(20))]
    found = calibrate_answers(outcomes, seed=1)
    assert found.f1.second <= 100 * mean(outcomes, found.threshold, 0.5)
    assert calibrate_answers(outcomes, seed=1) == found


def test_the_least_score_keeps_the_passages_that_answer() -> None:
    outcomes = [
        Outcome(f"{n}", "answerable", 0.9, 1.0, (0.8, 0.0123), 0.03456 + n / 100) for n in range(10)
    ]
    outcomes += [Outcome("x", "given", -1.0, 0.0, (0.02,)), Outcome("y", "given", 0.2, 0.0, (0.5,))]
    found = calibrate_answers(outcomes)
    assert found.min_score == 0.034
    assert found.left_out == pytest.approx(11 / 22)
    assert found.silent == 0.5
    scoreless = [outcome(f"{n}", "answerable", 0.9, 1.0) for n in range(5)] + outcomes[-2:]
    assert calibrate_answers(scoreless).min_score == 0.0


def test_too_few_questions_are_refused() -> None:
    four = [outcome(f"{n}", "answerable", 0.9, 1.0) for n in range(4)]
    none = [outcome("x", "given", 0.2)]
    with pytest.raises(DataError, match="4 questions with an answer and 1 without"):
        calibrate_answers(four + none)
    with pytest.raises(DataError, match="0 without"):
        calibrate_answers([*four, outcome("5", "answerable", 0.9)])
    with pytest.raises(InputError, match="between 0 and 1"):
        calibrate_answers(four + none, share=1.0)


@pytest.mark.slow
def test_questions_are_asked_without_their_document() -> None:
    from unimoer_rag import UnifiedRetriever
    from unimoer_rag.data import BeirDataset, Question
    from unimoer_rag.retrieval import Document

    corpus = {
        "a1": Document("Refunds are paid within 14 days.", "a1"),
        "a2": Document("Refunds of gift cards are paid within 20 days.", "a2"),
        "b1": Document("The office is closed on Sundays.", "b1"),
        "c1": Document("Money for a refund is sent within 14 days.", "c1"),
    }
    questions = [
        Question("q1", "How long do refunds take?", ("14 days", "within 14 days")),
        Question("q2", "When is the office closed?", ("Sundays", "on Sundays")),
        Question("q3", "Who won the cup?", ()),
        Question("q4", "How do refunds work?", None),
    ]
    qrels = {"q1": {"a1": 1}, "q2": {"b1": 1}, "q4": {"a1": 1}}
    dataset = BeirDataset("own", "own", corpus, questions, qrels)
    with UnifiedRetriever("unimoer-minilm", chunking="whole") as retriever:
        retriever.add(corpus.values())
        of = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
        found, elsewhere = answer_outcomes(retriever, dataset, of, depth=3, n_read=2)
        alone, none = answer_outcomes(retriever, dataset, {**of, "c1": "a"}, depth=3, n_read=2)
    assert elsewhere == 1  # the third document says 14 days, too
    assert [(one.question, one.kind) for one in found] == [
        ("q1", "answerable"),
        ("q2", "answerable"),
        ("q2", "made"),
        ("q3", "given"),
    ]
    assert found[0].f1 == 1
    assert found[0].relevant is not None
    assert all(len(one.scores) <= 2 for one in found)
    assert (none, alone[1].question, alone[1].kind) == (0, "q1", "made")
    assert len(alone[1].scores) == 1  # all that is left is the office
    assert alone[1].confidence < found[0].confidence
