"""The tables of several systems on several data sets."""

from __future__ import annotations

from typing import Any

from unimoer_rag.lab.systems import merged, quality, tables


def row(system: str, dataset: str, mean: float, **more: Any) -> dict[str, Any]:
    return {
        "system": system,
        "dataset": dataset,
        "split": "dev",
        "n": 10,
        "passages": 1000,
        "rerank": [mean, mean - 0.1, mean + 0.1],
        **more,
    }


def test_a_new_row_takes_the_place_of_its_own() -> None:
    old = [row("bm25", "nq", 0.3), row("ours", "nq", 0.5)]
    new = [row("bm25", "nq", 0.4), row("bm25", "popqa", 0.2)]
    kept = merged(old, new)
    assert [(r["dataset"], r["system"], r["rerank"][0]) for r in kept] == [
        ("nq", "bm25", 0.4),
        ("nq", "ours", 0.5),
        ("popqa", "bm25", 0.2),
    ]
    assert merged(kept, []) == kept


def test_systems_are_rows_from_worst_to_best_and_data_sets_columns() -> None:
    rows = [
        row("ours", "nq", 0.5),
        row("bm25", "nq", 0.3, against_ours=[-0.2, -0.3, -0.1]),
        row("ours", "popqa", 0.6),
    ]
    ranked, paired = tables(rows)
    assert list(ranked.heads) == [
        "system",
        "nq dev: 10 questions, 1,000 passages",
        "popqa dev: 10 questions, 1,000 passages",
    ]
    assert [list(r) for r in ranked.rows] == [
        ["bm25", "0.300 (0.200 to 0.400)", ""],
        ["ours", "0.500 (0.400 to 0.600)", "0.600 (0.500 to 0.700)"],
    ]
    assert [list(r) for r in paired.rows] == [["bm25", "-20.0 (-30.0 to -10.0)", ""]]


def test_quality_is_told_where_all_were_measured() -> None:
    rows = [row("small", "nq", 0.5), row("large", "nq", 0.625), row("small", "popqa", 0.75)]
    table = quality(rows, {"small": "22M", "large": "110M"})
    assert list(table.heads) == ["backbone", "nq"]
    assert [list(r) for r in table.rows] == [["22M", "0.500"], ["110M", "0.625"]]
