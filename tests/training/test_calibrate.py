"""The abstention threshold against trying every one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.training.calibrate import best_threshold

percents = st.lists(st.integers(1, 99), min_size=1, max_size=12, unique=True)


def total(values: list[float], gains: list[float], threshold: float) -> float:
    return sum(gain for value, gain in zip(values, gains, strict=True) if value < threshold)


@given(percents, st.data())
def test_no_other_threshold_gains_more(whole: list[int], data: st.DataObject) -> None:
    values = [percent / 100 for percent in whole]
    gains = data.draw(
        st.lists(
            st.sampled_from([-1.0, 0.0, 0.25, 1.0]), min_size=len(values), max_size=len(values)
        )
    )
    threshold, mean = best_threshold(values, gains)
    tried = [total(values, gains, (at + 0.5) / 100) for at in range(100)]
    assert abs(total(values, gains, threshold) - max(tried)) < 1e-9
    assert abs(mean * len(values) - max(tried)) < 1e-9


def test_by_hand() -> None:
    # Answering the two surest is right, the third should abstain.
    threshold, mean = best_threshold([0.1, 0.7, 0.4], [1.0, -1.0, 0.5])
    assert 0.4 < threshold < 0.7
    assert mean == 0.5


def test_abstaining_from_all_puts_the_threshold_below_every_probability() -> None:
    assert best_threshold([0.2, 0.4], [-1.0, -1.0])[0] < 0.2
