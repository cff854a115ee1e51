"""The numbers behind the page's plots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.evaluation.report.plots import distribution, latency_bars, movement
from unimoer_rag.evaluation.results import Histogram

some_rank = st.one_of(st.none(), st.integers(1, 200))


def test_movement_by_hand() -> None:
    found = movement({"a": (3, 1), "b": (1, 1), "c": (1, 30), "d": (None, None), "e": (7, 6)})
    assert (found.better, found.same, found.worse, found.missing, found.n) == (2, 1, 1, 1, 5)
    labels = found.labels
    moved = {
        (labels[row], labels[column]): (cell.n, cell.direction)
        for row, cells in enumerate(found.cells)
        for column, cell in enumerate(cells)
        if cell.n
    }
    assert moved == {
        ("3", "1"): (1, "better"),
        ("1", "1"): (1, "same"),
        ("1", "21-50"): (1, "worse"),
        ("not found", "not found"): (1, "same"),
        ("6-10", "6-10"): (1, "same"),  # up, within its bucket
    }


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=3), st.tuples(some_rank, some_rank)))
def test_every_question_moves_once(ranks: dict[str, tuple[int | None, int | None]]) -> None:
    found = movement(ranks)
    assert found.n == sum(cell.n for row in found.cells for cell in row) == len(ranks)
    assert all(0 <= cell.heat <= 1 for row in found.cells for cell in row)


def _times(p50: float) -> dict[str, float]:
    return {"p50": p50, "p95": 2 * p50, "p99": 4 * p50}


def test_bars_share_a_scale_and_parts_follow_their_whole() -> None:
    bars = latency_bars(
        {
            "answer": _times(10),
            "search": _times(2),
            "answer/rerank": _times(5),
            "answer/read": _times(1),
        }
    )
    assert [(bar.name, bar.part) for bar in bars] == [
        ("answer", False),
        ("rerank", True),
        ("read", True),
        ("search", False),
    ]
    assert bars[0].widths == (25, 50, 100)
    assert bars[3].widths == (5, 10, 20)
    assert latency_bars({}) == []
    assert latency_bars({"search": _times(0)})[0].widths == (0, 0, 0)


def test_groups_of_scores_are_drawn_by_their_own_totals() -> None:
    histogram = Histogram(edges=[0, 1, 2], relevant=[1, 3], other=[80, 20])
    found = distribution("first", histogram)
    assert (found.n_relevant, found.n_other, found.top) == (4, 100, 80.0)
    assert [(b.low, b.high, b.relevant, b.other) for b in found.bins] == [
        (0, 1, 1, 80),
        (1, 2, 3, 20),
    ]
    assert [b.heights for b in found.bins] == [(31.25, 100), (93.75, 25)]
    none = distribution("first", Histogram(edges=[0, 1], relevant=[0], other=[2]))
    assert none.bins[0].heights == pytest.approx((0, 100))
