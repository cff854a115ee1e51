from __future__ import annotations

from dataclasses import asdict

import pytest

from unimoer_rag.evaluation.results import Ends
from unimoer_rag.evaluation.statistics import interval
from unimoer_rag.evaluation.summary import answer_intervals, columns, intervals, means, rounded

ROWS = {"q1": {"a": 1.0}, "q2": {"a": 0.0, "b": 1 / 3}, "q3": {"a": 0.0}}


def test_values_by_measure() -> None:
    assert columns(ROWS) == {"a": {"q1": 1.0, "q2": 0.0, "q3": 0.0}, "b": {"q2": 1 / 3}}
    assert columns({}) == {}


def test_means_count_the_questions_that_have_the_measure() -> None:
    assert means(ROWS) == {"a": 0.33333, "b": 0.33333}
    assert rounded(ROWS)["q2"] == {"a": 0.0, "b": 0.33333}


def test_intervals_are_those_of_the_columns() -> None:
    found = intervals(ROWS, seed=2)
    expected = interval([1.0, 0.0, 0.0], seed=2)
    assert asdict(found["a"]) == pytest.approx(
        {"low": expected.low, "high": expected.high, "n": 3}, abs=1e-5
    )
    assert found["b"] == Ends(low=0.33333, high=0.33333, n=1)


def test_answers_have_intervals_of_their_own() -> None:
    rows = {
        "q1": {"em": 100.0, "f1": 100.0, "abstention": 0.0},
        "q2": {"em": 0.0, "f1": 0.0, "abstention": 0.0},
    }
    found = answer_intervals(rows, {"q1": ["tent"], "q2": []}, seed=0)
    assert found["has_answer_em"] == found["has_answer_f1"] == Ends(low=100, high=100, n=1)
    assert found["no_answer_f1"] == Ends(low=0, high=0, n=1)
    assert found["em"] == Ends(low=0, high=100, n=2)
    assert "no_answer_f1" not in answer_intervals({"q1": rows["q1"]}, {"q1": ["tent"]}, seed=0)
