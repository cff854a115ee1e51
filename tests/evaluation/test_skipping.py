"""What skipping reranking costs, and the thresholds chosen by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.skipping import Outcomes, choose_threshold, cross_validate

VALUES = st.sampled_from([0.0, 0.3, 0.5, 0.63, 1.0])
QUESTIONS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.3]), VALUES, VALUES), min_size=5, max_size=30
)


def outcomes(rows: list[tuple[float, float, float]]) -> Outcomes:
    certainty, always, never = np.array(rows).T
    return Outcomes(certainty, always, never)


def test_the_loss_is_the_share_of_ndcg_that_is_gone() -> None:
    found = outcomes([(0.9, 1.0, 1.0), (0.5, 1.0, 0.5), (0.3, 0.5, 0.75), (0.1, 0.5, 0.0)])
    assert found.loss(found.certainty >= 0.9) == 0
    assert found.loss(found.certainty >= 0.5) == pytest.approx(0.5 / 3)
    assert found.loss(found.certainty >= 0.3) == pytest.approx(0.25 / 3)
    told = found.describe(found.certainty >= 0.5)
    assert told["share_skipped"] == 0.5
    assert (told["always"], told["auto"], told["never"]) == (0.75, 0.625, 0.5625)
    assert told["loss"] == pytest.approx(0.5 / 3, abs=1e-5)
    assert told["loss_low"] <= told["loss"] <= told["loss_high"]


def test_the_threshold_is_the_lowest_before_the_loss_is_too_large() -> None:
    # Skipping the third as well would win back what the second loses: chance, not to be relied on.
    found = outcomes([(0.9, 1.0, 1.0), (0.5, 1.0, 0.5), (0.3, 0.5, 1.0), (0.1, 0.5, 0.5)])
    assert choose_threshold([found], 0.0) == 0.9
    assert choose_threshold([found], 0.2) == 0.1
    worse = outcomes([(0.95, 1.0, 0.0)])
    assert choose_threshold([found, worse], 0.2) is None


@given(QUESTIONS, st.sampled_from([0.0, 0.005, 0.1]))
def test_what_is_chosen_keeps_the_loss_and_so_does_all_above(
    rows: list[tuple[float, float, float]], loss: float
) -> None:
    found = outcomes(rows)
    chosen = choose_threshold([found], loss)
    kept = [t for t in np.unique(found.certainty) if chosen is not None and t >= chosen]
    assert all(found.loss(found.certainty >= threshold) <= loss for threshold in kept)
    below = [t for t in np.unique(found.certainty) if t not in kept]
    if below:
        assert found.loss(found.certainty >= below[-1]) > loss


@pytest.mark.slow
@given(QUESTIONS)
def test_equal_outcomes_are_all_skipped(rows: list[tuple[float, float, float]]) -> None:
    found = outcomes([(certainty, always, always) for certainty, always, _ in rows])
    assert choose_threshold([found], 0.0) == found.certainty.min()
    told = cross_validate({"a": found}, 0.0)["a"]
    assert told["loss"] == 0
    assert told["auto"] == told["always"]


def test_questions_are_decided_by_the_others() -> None:
    # The only question that loses is the most certain one: alone it would forbid every threshold,
    # but its own fold is decided by the rest, which lose nothing.
    rows = [(1.0, 1.0, 0.0), *((n / 100, 1.0, 1.0) for n in range(9))]
    found = outcomes(rows)
    assert choose_threshold([found], 0.0) is None
    told = cross_validate({"a": found}, 0.0, folds=10)["a"]
    assert told["share_skipped"] == 0.1
    assert told["loss"] == pytest.approx(0.1)


def test_what_cannot_be_calibrated() -> None:
    few = outcomes([(0.5, 1.0, 1.0)])
    with pytest.raises(DataError, match="'few' has 1 judged questions: expected 5 or more"):
        cross_validate({"few": few})
    for loss in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="loss is"):
            choose_threshold([few], loss)
