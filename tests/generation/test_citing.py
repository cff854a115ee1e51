"""The numbers by which a reply names passages, in every form that models give them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.generation.citing import cited, uncited


@pytest.mark.parametrize(
    ("reply", "numbers"),
    [
        ("[2]", [2]),
        ("[3][1] and [3]", [3, 1]),
        ("[1, 2; 3]", [1, 2, 3]),
        ("[1-3]", [1, 2, 3]),
        ("[1–2; 3]", [1, 2, 3]),
        ("[ 2 ]", [2]),
        ("【2】", [2]),
        ("［１，２］", [1, 2]),
        ("【1†source】", [1]),
        ("[^1]", [1]),
        ("[Passage 1]", [1]),
        ("[passages 1 and 2]", [1, 2]),
        # None of them is a passage, or not both ends of the range.
        ("[0] [4] [2019-2024] [1-31] [3-1]", []),
        ("[a] (1) [1.2] [1 1] [1", []),
        (f"[{'9' * 5000}]", []),
    ],
)
def test_the_passages_that_a_reply_names(reply: str, numbers: list[int]) -> None:
    assert cited(f"So it is {reply}.", 3) == numbers


@given(st.text("[]【】1234,;- \n†^and", max_size=60))
def test_only_passages_there_are(text: str) -> None:
    found = cited(text, 3)
    assert set(found) <= {1, 2, 3}
    assert len(found) == len(set(found))


def test_without_its_numbers() -> None:
    assert uncited("Brazil [2], of  the south【1】 [1-2].") == "Brazil, of  the south."
    assert uncited("a[i] (2)") == "a[i] (2)"


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["[", "[1 ", "[1,", "[1†", "【1, ", "[passage", " ", "\u3000", " [1", "[1" + ",1" * 99]
)
def test_long_replies_are_read_in_one_pass(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    assert cited(text, 3) == []
    assert uncited(text) == text
