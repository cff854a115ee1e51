"""SQuAD's rules, which training and reading are measured by."""

from __future__ import annotations

import string
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation import answers

exact_match = partial(answers.exact_match, rules="squad")
f1 = partial(answers.f1, rules="squad")
score_answers = partial(answers.score_answers, rules="squad")
has_answer = partial(answers.has_answer, rules="squad")
normalize_answer = partial(answers.normalize_answer, rules="squad")
per_answer = partial(answers.per_answer, rules="squad")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Red\tTent!", "red tent"),
        ("U.S.A.", "usa"),  # punctuation goes first, and leaves no gap
        ("an apple a day", "apple day"),
        ("theatre, another, Ana", "theatre another ana"),
        ("the—end", "—end"),  # articles end at word boundaries; a dash is no ASCII punctuation
        ("$1,200.50", "120050"),
        ("the", ""),
        ("...", ""),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("prediction", "golds", "em", "f"),
    [
        ("the Red Tent.", ["red tent"], 1.0, 1.0),
        ("a red tent", ["red tent pole"], 0.0, 4 / 5),  # P 2/2, R 2/3
        ("red red tent", ["red tent"], 0.0, 4 / 5),  # a repeated word counts as often as in both
        ("kayak", ["red tent"], 0.0, 0.0),
        ("red tent", ["kayak", "blue red tent", "tent"], 0.0, 4 / 5),  # the best of them
        ("", ["red tent"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        ("red", [], 0.0, 0.0),
        ("", ["the"], 1.0, 1.0),  # a gold without content is none
        ("red", ["", "red"], 1.0, 1.0),
        ("", ["", "red"], 0.0, 0.0),
    ],
)
def test_scores_by_hand(prediction: str, golds: list[str], em: float, f: float) -> None:
    assert exact_match(prediction, golds) == em
    assert f1(prediction, golds) == pytest.approx(f)


def test_score_answers_by_hand() -> None:
    golds = {"q1": ["red tent"], "q2": ("two nights",), "q3": [], "q4": ()}
    predictions = {"q1": "The red tent", "q2": "two", "q3": "", "q4": "Leeds", "other": "x"}
    scores = score_answers(predictions, golds)
    assert scores.to_dict() == pytest.approx(
        {
            "em": 100 * 2 / 4,
            "f1": 100 * (1 + 2 / 3 + 1 + 0) / 4,
            "n": 4,
            "n_has_answer": 2,
            "has_answer_em": 50.0,
            "has_answer_f1": 100 * (1 + 2 / 3) / 2,
            "n_no_answer": 2,
            "no_answer_f1": 50.0,
        }
    )


def test_a_group_without_questions_has_no_score() -> None:
    scores = score_answers({"q": "x"}, {"q": ["x"]})
    assert (scores.em, scores.n_no_answer, scores.no_answer_f1) == (100.0, 0, None)
    scores = score_answers({"q": ""}, {"q": []})
    assert (scores.em, scores.n_has_answer, scores.has_answer_f1) == (100.0, 0, None)


def test_gaps_and_emptiness_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 2 questions have no prediction, for example 'q2'"):
        score_answers({"q1": "x"}, {"q1": ["x"], "q2": []})
    with pytest.raises(InputError, match="no questions"):
        score_answers({}, {})


def words_by_hand(text: str) -> list[str]:
    """The normalisation a second time, by scanning characters."""
    words, word = [], ""
    for character in text.lower() + " ":
        if character.isspace():
            words.append(word)
            word = ""
        elif character not in string.punctuation:
            word += character
    return [w for w in words if w not in ("", "a", "an", "the")]


def f1_by_hand(predicted: list[str], gold: list[str]) -> float:
    left, shared = list(gold), 0
    for word in predicted:
        if word in left:
            left.remove(word)
            shared += 1
    if not predicted and not gold:
        return 1.0
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


answers = st.lists(
    st.sampled_from(["the", "A", "an", "Red", "red,", "tent", "t.e.n.t", "2", "(2)", "--", "élan"]),
    max_size=6,
).map("  ".join)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(answers, answers)
def test_scores_agree_with_an_independent_computation(prediction: str, gold: str) -> None:
    predicted, wanted = words_by_hand(prediction), words_by_hand(gold)
    assert normalize_answer(prediction).split() == predicted
    assert exact_match(prediction, [gold]) == float(predicted == wanted)
    assert f1(prediction, [gold]) == pytest.approx(f1_by_hand(predicted, wanted))


def test_every_answer_is_scored_by_hand() -> None:
    golds = {"q1": ["red tent"], "q2": ["two nights"], "q3": []}
    assert per_answer({"q1": "", "q2": "Two", "q3": "", "other": "x"}, golds) == {
        "q1": {"em": 0.0, "f1": 0.0, "abstention": 100.0},
        "q2": {"em": 0.0, "f1": pytest.approx(100 * 2 / 3), "abstention": 0.0},
        "q3": {"em": 100.0, "f1": 100.0, "abstention": 100.0},
    }


def test_golds_without_content_are_no_answer() -> None:
    assert has_answer(["the", "tent"])
    assert not has_answer(["the", "..."])
    assert not has_answer([])
