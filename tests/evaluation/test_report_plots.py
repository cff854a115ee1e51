"""The numbers behind the page's plots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.evaluation.report.plots import Bar, distribution, latency_bars, movement
from unimoer_rag.evaluation.results import Histogram

some_rank = st.one_of(st.none(), st.integers(1, 200))


def test_movement_by_hand() -> None:
    found = movement({"a": (3, 1), "b": (1, 1), "c": (1, 30), "d": (None, None), "e": (7, 6)})
    assert (found.better, found.same, found.worse, found.missing, found.n) == (2, 1, 1, 1, 5)
    _, *labels = found.chart.heads
    moved = {
        (row, labels[column]): (int(cell.told), cell.kind)
        for row, cells in found.chart.cells
        for column, cell in enumerate(cells)
        if cell.kind != "none"
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
    cells = [cell for _, row in found.chart.cells for cell in row]
    assert found.n == sum(int(cell.told) for cell in cells) == len(ranks)
    assert all(0 <= cell.heat <= 1 for cell in cells)
    assert all((cell.kind == "none") == (cell.told == "0") for cell in cells)


def _times(p50: float) -> dict[str, float]:
    return {"p50": p50, "p95": 2 * p50, "p99": 4 * p50}


def _widths(bar: Bar) -> dict[str, float]:
    return {str(s.attributes["class"]): float(s.attributes["width"]) for s in bar.shapes}


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
    assert bars[0].times == [10, 20, 40]
    assert _widths(bars[0]) == {"p50": 25, "p95": 50, "p99": 100}
    assert _widths(bars[3]) == {"p50": 5, "p95": 10, "p99": 20}
    # The longest is drawn first: the others lie on it.
    assert list(_widths(bars[0])) == ["p99", "p95", "p50"]
    assert latency_bars({}) == []
    assert set(_widths(latency_bars({"search": _times(0)})[0]).values()) == {0}


def test_groups_of_scores_are_drawn_by_their_own_totals() -> None:
    histogram = Histogram(edges=[0, 1, 2], relevant=[1, 3], other=[80, 20])
    found = distribution("first", histogram)
    assert found.title == "first: 4 relevant, 100 others"
    assert found.table == [
        ["score", "relevant", "other"],
        ["0.000 to 1.000", "1", "80"],
        ["1.000 to 2.000", "3", "20"],
    ]
    bars = [s.attributes for s in found.shapes if s.tag == "rect"]
    [line] = [s.attributes for s in found.shapes if s.tag == "polyline"]
    at = {s.text: float(s.attributes["y"]) - 6 for s in found.shapes if s.tag == "text"}
    # A quarter and three quarters of the relevant, 80 and 20 percent of the others: one scale.
    percent = (at["0"] - at["20"]) / 20
    heights = [float(bar["height"]) for bar in bars]
    assert heights == pytest.approx([25 * percent, 75 * percent], abs=0.05)
    levels = [float(pair.split(",")[1]) for pair in str(line["points"]).split()]
    expected = [at["0"] - share * percent for share in (80, 80, 20, 20)]
    assert levels == pytest.approx(expected, abs=0.05)
    none = distribution("first", Histogram(edges=[0, 1], relevant=[0], other=[2]))
    [bar] = [s.attributes for s in none.shapes if s.tag == "rect"]
    assert bar["height"] == 0
    assert none.table[1:] == [["0.000 to 1.000", "0", "2"]]
