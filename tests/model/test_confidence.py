"""How sure a reading is, alone and with the passage's relevance."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.model.tasks.span import Reading

_inner = st.floats(0.001, 0.999)


def _reading(span: float, no_answer: float) -> Reading:
    return Reading("a", 0, 1, span, no_answer, margin=math.log(span / no_answer))


@given(_inner, _inner)
def test_without_relevance_it_is_the_rest_of_doubt(span: float, no_answer: float) -> None:
    reading = _reading(span, no_answer)
    assert reading.confidence() == pytest.approx(1 - reading.doubt)


@given(_inner, _inner)
def test_odds_multiply(span: float, relevance: float) -> None:
    odds = span / (1 - span) * relevance / (1 - relevance)
    found = _reading(span, 1 - span).confidence(relevance)
    assert found == pytest.approx(odds / (1 + odds))


def test_a_coin_tossed_for_relevance_says_nothing() -> None:
    reading = _reading(0.3, 0.5)
    assert reading.confidence(0.5) == pytest.approx(reading.confidence())


@pytest.mark.parametrize("relevance", [None, 0.0, 0.7, 1.0])
def test_the_extremes_stay_probabilities(relevance: float | None) -> None:
    nothing = Reading("", 0, 0, probability=0.0, no_answer=1.0, margin=-math.inf)
    assert nothing.confidence(relevance) == 0
    certain = Reading("a", 0, 1, probability=1.0, no_answer=0.0, margin=900.0)
    assert certain.confidence(relevance) == 1
    assert 0 < _reading(0.5, 0.5).confidence(relevance) < 1
