"""The abstention shift against trying every one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.training.calibrate import best_shift

margins = st.lists(st.integers(-50, 50), min_size=1, max_size=12, unique=True)


def total(values: list[int], gains: list[float], shift: float) -> float:
    return sum(gain for margin, gain in zip(values, gains, strict=True) if margin > shift)


@given(margins, st.data())
def test_no_other_shift_gains_more(values: list[int], data: st.DataObject) -> None:
    gains = data.draw(
        st.lists(
            st.sampled_from([-1.0, 0.0, 0.25, 1.0]), min_size=len(values), max_size=len(values)
        )
    )
    shift, mean = best_shift(values, gains)
    tried = [total(values, gains, at + 0.5) for at in range(-52, 52)]
    assert abs(total(values, gains, shift) - max(tried)) < 1e-9
    assert abs(mean * len(values) - max(tried)) < 1e-9


def test_by_hand() -> None:
    # Answering the two surest is right, the third should abstain.
    shift, mean = best_shift([3.0, 1.0, 2.0], [1.0, -1.0, 0.5])
    assert 1.0 < shift < 2.0
    assert mean == 0.5


def test_abstaining_from_all_puts_the_shift_above_every_margin() -> None:
    assert best_shift([4.0, 2.0], [-1.0, -1.0])[0] > 4.0
