"""Items made as they are asked for, against a list of the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.data import ByPlace


class Squares(ByPlace[int]):
    def __init__(self, n: int) -> None:
        self.n, self.asked = n, list[int]()

    def __len__(self) -> int:
        return self.n

    def at(self, place: int) -> int:
        self.asked.append(place)
        return place**2


@given(st.integers(0, 9), st.slices(9), st.integers(-12, 12))
def test_places_and_slices_are_those_of_a_list(n: int, some: slice, place: int) -> None:
    squares, plain = Squares(n), [at**2 for at in range(n)]
    assert squares[some] == plain[some]
    assert list(squares) == plain
    assert list(reversed(squares)) == plain[::-1]
    assert all(0 <= at < n for at in squares.asked)
    if -n <= place < n:
        assert squares[place] == plain[place]
    else:
        with pytest.raises(IndexError):
            squares[place]


def test_no_more_is_made_than_is_asked_for() -> None:
    squares = Squares(1000)
    assert squares[-2:] == [998**2, 999**2]
    assert squares.asked == [998, 999]
