"""Where a reply ends that nothing taught to end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.generation.conversation import FirstLine

pieces = st.lists(st.text(alphabet="ab \n", max_size=4), max_size=12)


@given(pieces)
def test_the_first_line_however_it_comes_in_pieces(pieces: list[str]) -> None:
    line = FirstLine()
    found = "".join(line.take(piece) for piece in pieces)
    text, end, _ = "".join(pieces).lstrip().partition("\n")
    assert (found, line.ended) == (text, bool(end))
