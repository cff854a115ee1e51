"""What known systems are published to score on the benchmarks, beside which ours stand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Published", "published"]

_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True, slots=True)
class Published:
    """The figures of one system on a benchmark.

    Attributes:
        system: its name.
        source: where the figures are published.
        figures: member of the benchmark -> nDCG@10, of 100; those that are known.
    """

    system: str
    source: str
    figures: Mapping[str, float]


def published(suite: str) -> tuple[Published, ...]:
    """The systems with published figures on a benchmark; none where none are known."""
    return tuple(Published(**row) for row in _all().get(suite, ()))


@cache
def _all() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(_FILE.read_text("utf-8"))
    return found
