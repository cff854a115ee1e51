"""Several systems on several data sets: what is kept of their results, and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unimoer_rag.evaluation import Result, compare_results
from unimoer_rag.lab.tables import Table

__all__ = ["MEASURE", "OURS", "merged", "quality", "summary", "tables"]

MEASURE = "nDCG@10"
OURS = "unimoer"

Row = Mapping[str, Any]
"""What `summary` keeps of one system on one data set."""


def summary(system: str, result: Result, ours: Result | None = None) -> Row:
    """What is kept of a result: `MEASURE` of each stage with its interval, and what it took.

    Args:
        system: as it was named, with its options.
        result: of that system.
        ours: the result of `OURS` on the same questions, which the others are paired with.
    """
    given = " (a given run)" if result.first_stage == "given run" else ""
    found: dict[str, Any] = {
        "system": system,
        "dataset": f"{result.dataset}{given}",
        "split": result.split,
        "n": result.n,
        "passages": result.passages,
        "depth": result.rerank_depth,
        "weights_mb": result.memory_mb["model"],
        "command": result.command,
    }
    for stage, values in (("retrieval", result.retrieval), ("rerank", result.rerank)):
        if MEASURE in values:
            interval = result.intervals[stage][MEASURE]
            found[stage] = [values[MEASURE], interval.low, interval.high]
    if ours is not None and ours is not result and "rerank" in found:
        gain = compare_results(ours, result)["differences"]["rerank"][MEASURE]
        found["against_ours"] = [gain[key] for key in ("difference", "low", "high")]
    return found


def merged(kept: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Rows with new ones in the place of theirs: one a system and data set, in order of names."""
    rows = {(row["dataset"], row["split"], row["system"]): row for row in (*kept, *new)}
    return [rows[key] for key in sorted(rows)]


def tables(rows: Sequence[Row]) -> list[Table]:
    """One table a stage, and one of paired differences: a row a system, a column a data set."""
    sets = {(row["dataset"], row["split"]): row for row in rows}
    heads = ["system", *(_head(row) for row in sets.values())]
    cells = {(row["system"], row["dataset"], row["split"]): row for row in rows}
    # From worst to best by the mean of what each was measured on.
    systems = sorted({row["system"] for row in rows}, key=lambda name: _level(name, rows))
    titles = {
        "retrieval": f"{MEASURE} of what was retrieved, with 95% intervals",
        "rerank": f"{MEASURE} after reranking, with 95% intervals",
        "against_ours": f"the same less `{OURS}`'s, paired by question, in points of 100",
    }
    found = []
    for key, title in titles.items():
        shown = [
            [system, *(_cell(cells.get((system, *each)), key) for each in sets)]
            for system in systems
        ]
        if filled := [row for row in shown if any(row[1:])]:
            found.append(Table(title, heads, filled))
    return found


def quality(rows: Sequence[Row], named: Mapping[str, str]) -> Table:
    """What some systems reach after reranking, on the sets that all of them were measured on.

    Args:
        rows: of `summary`.
        named: system -> what it goes by in the table.
    """
    measured = {
        (row["system"], row["dataset"]): row["rerank"][0] for row in rows if "rerank" in row
    }
    sets = [
        name
        for name in dict.fromkeys(row["dataset"] for row in rows)
        if all((system, name) in measured for system in named)
    ]
    shown = [
        [told, *(f"{measured[system, name]:.3f}" for name in sets)]
        for system, told in named.items()
    ]
    return Table(f"{MEASURE} after reranking", ["backbone", *sets], shown)


def _head(row: Row) -> str:
    return f"{row['dataset']} {row['split']}: {row['n']:,} questions, {row['passages']:,} passages"


def _level(system: str, rows: Sequence[Row]) -> float:
    stages = [row.get("rerank", row.get("retrieval")) for row in rows if row["system"] == system]
    values = [stage[0] for stage in stages if stage]
    return sum(values) / len(values) if values else 0.0


def _cell(row: Row | None, key: str) -> str:
    if row is None or key not in row:
        return ""
    mean, low, high = row[key]
    if key == "against_ours":
        return f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"
