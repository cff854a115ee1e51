"""One is not many."""

from __future__ import annotations

import pytest

from unimoer_rag.wording import counted


@pytest.mark.parametrize(
    ("n", "said"),
    [(0, "0 passages"), (1, "1 passage"), (2, "2 passages"), (12_345, "12,345 passages")],
)
def test_a_number_and_its_noun(n: int, said: str) -> None:
    assert counted(n, "passage") == said


def test_an_irregular_plural() -> None:
    assert [counted(n, "query", "queries") for n in (1, 2)] == ["1 query", "2 queries"]
