"""What `scripts/measure_cross_encoder.py` found, as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from unimoer_rag.lab.tables import Table

__all__ = ["cross_encoder_table"]

_ALL = "all"


def cross_encoder_table(path: Path) -> Table:
    """A row a way of using the expert and step, against the ranking that ships.

    Args:
        path: the JSON.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    ways = dict.fromkeys(way for at in found["curve"].values() for way in at)
    sets = [*found["sets"], _ALL]
    return Table(
        f"{found['measure']} of the ranking that ships and of each way to use the expert, and the "
        "difference in points with its 95% interval, by steps of training",
        ["score", "steps", *sets[:-1], "all questions"],
        [
            [way, step, *(_gain(at[way][name]) for name in sets)]
            for way in ways
            for step, at in found["curve"].items()
        ],
        [
            "; ".join(
                f"{name}: {of['questions']} questions of at most {of['most_candidates']} passages"
                for name, of in found["sets"].items()
            )
            + "."
        ],
    )


def _gain(found: Mapping[str, float]) -> str:
    points = "{:+.1f} [{:+.1f}, {:+.1f}]".format(
        *(100 * found[name] for name in ("difference", "low", "high"))
    )
    return f"{found['first']:.3f} to {found['second']:.3f}, {points}"
