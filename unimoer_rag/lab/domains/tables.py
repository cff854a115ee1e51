"""What `scripts/measure_domains.py` and `measure_domain_router.py` found, as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimoer_rag.lab.tables import Table

__all__ = ["domains_table", "router_table"]

_PARTS = {"retrieval": "retrieval", "rerank": "reranking"}


def domains_table(folder: Path) -> Table:
    """A row a data set and number of questions learnt from, the fewest first.

    Args:
        folder: a JSON file a cell.
    """
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    cells.sort(
        key=lambda cell: (
            cell["dataset"], cell["size"] != "none", cell["questions"], cell.get("name", "")
        )
    )  # fmt: skip
    heads = ["data set", "learnt from", *_PARTS.values(), "the same on new passages", "CPU time"]
    notes = [
        f"{name}: {held:,} questions held out, {passages:,} passages."
        for name, held, passages in dict.fromkeys(
            (cell["dataset"], cell["held_out"], cell["passages"]) for cell in cells
        )
    ]
    ran = dict.fromkeys(cell["processor"] for cell in cells)
    return Table(
        "nDCG@10 of the frozen backbone, of the experts, and the difference in points with its 95% "
        "interval",
        heads,
        [_row(cell) for cell in cells],
        [" ".join([*notes, *(f"Trained on {name}." for name in ran)])] if cells else (),
    )


def router_table(file: Path) -> Table:
    """A row a data set, its domain's own first: each arm against the frozen backbone.

    Args:
        file: what `measure_domain_router.py` wrote.
    """
    found = json.loads(file.read_text(encoding="utf-8"))
    arms = [arm for arm in found["means"] if arm != "frozen"]
    differences, routes = found["differences"], found["routes"].get("routed", {})

    def row(name: str) -> list[str]:
        gains = [differences[f"{arm} - frozen"].get(name) for arm in arms]
        told = [_points(gain) if gain else "" for gain in gains]
        sent = routes.get(name, {}).items()
        best = sorted(sent, key=lambda one: -one[1])[:2]
        to = ", ".join(f"{who.removesuffix('-embed')} {share:.0%}" for who, share in best if share)
        label = name if name in found["domains"] else f"{name} (no domain of the model)"
        return [label, f"{found['means']['frozen'][name]:.3f}", *told, to]

    pairs = [key for key in differences if not key.endswith("- frozen")]
    notes = [f"{pair}: {_listed(differences[pair])}." for pair in pairs]
    seeds = len(found["seeds"])
    return Table(
        "nDCG@10 of retrieval by the frozen backbone, and what each arm adds, in points with its "
        f"95% interval ({seeds} seed{'s' if seeds > 1 else ''})",
        ["questions of", "frozen", *arms, "routed to"],
        [row(name) for name in found["sets"]],
        [" ".join(notes)],
    )


def _listed(by_set: Mapping[str, Mapping[str, float]]) -> str:
    return ", ".join(f"{name} {_points(found)}" for name, found in by_set.items())


def _row(cell: Mapping[str, Any]) -> list[str]:
    learnt = f"{cell['questions']:,} questions"
    if cell["size"] == "none":
        learnt = f"{cell['questions']:,} sentences of the passages"
    if cell.get("name"):
        learnt = f"{learnt}, {cell['name']}"
    gains = [_gain(cell["differences"][part]) for part in _PARTS]
    return [cell["dataset"], learnt, *gains, _new(cell), f"{cell['cpu_seconds'] / 60:.1f} min"]


def _new(cell: Mapping[str, Any]) -> str:
    """The differences on questions whose passages answered no question in training."""
    found = cell.get("differences_on_new_passages")
    if found is None:
        return ""
    told = ", ".join(_points(found[part]) for part in _PARTS)
    return f"{told} (of {found['retrieval']['n']} questions)"


def _gain(found: Mapping[str, float]) -> str:
    return f"{found['first']:.3f} to {found['second']:.3f}, {_points(found)}"


def _points(found: Mapping[str, float]) -> str:
    points = [100 * found[name] for name in ("difference", "low", "high")]
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*points)
