"""Panels: what analyses draw. One of each run, folded into one of all seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from unimoer_rag.data import Part
from unimoer_rag.lab.studies.stats import over_seeds

__all__ = ["Findings", "Folded", "Panel", "Point", "Points", "fold", "fold_numbers", "thinned"]

Kind = Literal["lines", "bars", "heat", "dots"]
Points = list[tuple[float | str, float]]
"""Pairs of x and value."""
_DIGITS = 5


class Panel(Part):
    """One plot of one run.

    Attributes:
        title: what it shows; panels of the same title are those of other seeds.
        kind: "lines" over numbers, "bars" over names, "heat" (a row for each series), or "dots" in
            a plane, which cannot be averaged.
        x: what runs along.
        y: what the values are.
        series: name -> pairs of x and value.
        note: what one must know to read it.
    """

    title: str
    kind: Kind
    x: str
    y: str
    series: dict[str, Points]
    note: str = ""


class Findings(Part):
    """What an analysis found in one run.

    Attributes:
        panels: to draw.
        numbers: to tell, by what they are called.
    """

    panels: tuple[Panel, ...] = ()
    numbers: dict[str, float] = Field(default={})


class Point(Part):
    """A value over seeds; without an interval where one seed alone has it."""

    x: float | str
    mean: float
    low: float | None = None
    high: float | None = None


class Folded(Part):
    """A panel of all seeds."""

    title: str
    kind: Kind
    x: str
    y: str
    series: dict[str, list[Point]]
    note: str = ""


def fold(findings: Sequence[Findings]) -> list[Folded]:
    """The panels of several seeds as one each: means with t intervals; dots are the first seed's.

    Args:
        findings: of each seed.
    """
    by_title: dict[str, list[Panel]] = {}
    for found in findings:
        for panel in found.panels:
            by_title.setdefault(panel.title, []).append(panel)
    return [_folded(panels) for panels in by_title.values()]


def _folded(panels: Sequence[Panel]) -> Folded:
    first = panels[0]
    if first.kind == "dots":
        series = {
            name: [Point(x=round(float(x), _DIGITS), mean=round(y, _DIGITS)) for x, y in points]
            for name, points in first.series.items()
        }
    else:
        series = {name: _points(name, panels) for name in _names(panels)}
    return Folded(
        title=first.title, kind=first.kind, x=first.x, y=first.y, note=first.note, series=series
    )


def _names(panels: Iterable[Panel]) -> list[str]:
    return list(dict.fromkeys(name for panel in panels for name in panel.series))


def _points(name: str, panels: Sequence[Panel]) -> list[Point]:
    at: dict[float | str, list[float]] = {}
    for panel in panels:
        for x, value in panel.series.get(name, ()):
            at.setdefault(x, []).append(value)
    points = []
    for x, values in at.items():
        over = over_seeds(values)
        low, high = (None if end is None else round(end, _DIGITS) for end in (over.low, over.high))
        points.append(Point(x=x, mean=round(over.mean, _DIGITS), low=low, high=high))
    return points


def fold_numbers(findings: Sequence[Findings]) -> dict[str, list[float]]:
    """Each number's values, one a seed."""
    found: dict[str, list[float]] = {}
    for one in findings:
        for name, value in one.numbers.items():
            found.setdefault(name, []).append(value)
    return found


def thinned(points: Sequence[tuple[float, float]], n: int) -> Points:
    """At most so many points of a line: neighbours averaged, at the last one's place."""
    parts = np.array_split(np.asarray(points), min(n, len(points)))
    return [(float(part[-1, 0]), float(part[:, 1].mean())) for part in parts]
