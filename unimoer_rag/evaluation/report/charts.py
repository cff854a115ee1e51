"""Plots of all pages: shapes of SVG, and tables beside them, that `charts.jinja` writes down.

Drawn by hand, for what a library of plots would cost: see docs/developing.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import NamedTuple

__all__ = ["HEIGHT", "WIDTH", "Cell", "Chart", "Scale", "Shape", "Span", "Value", "axes",
           "interval_chart", "series_chart", "shape"]  # fmt: skip

WIDTH, HEIGHT = 600.0, 240.0
"""Of the plotted area, in the units of the SVG."""

_TICKS = 5
_COLOURS = 8  # of the style sheet; further series begin again


class Shape(NamedTuple):
    """An element of an SVG."""

    tag: str
    attributes: Mapping[str, str | float]
    text: str = ""


class Cell(NamedTuple):
    """A cell of a heat map: what it says, how warm it is (0 to 1), and the class of its colour."""

    told: str
    heat: float
    kind: str = "warm"


@dataclass(frozen=True, slots=True)
class Span:
    """A mean with its interval, on a line of its own.

    Attributes:
        name: what it is of.
        told: the mean in figures.
        shapes: the interval on a line from 0 to 100.
        sure: whether it is to stand out.
    """

    name: str
    told: str
    shapes: Sequence[Shape]
    sure: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure; what is empty is left out.

    Attributes:
        title: what it shows.
        y: what the values are.
        note: what one must know to read it.
        shapes: of its plot.
        key: names of the series, each behind the class of its colour.
        spans: intervals below one another.
        ticks: labels of the line that these stand on, each behind its place.
        heads: of the columns of a heat map.
        cells: rows of a heat map, each behind its name.
        table: the numbers behind the plot: heads, then rows.
    """

    title: str
    y: str = ""
    note: str = ""
    shapes: Sequence[Shape] = ()
    key: Sequence[tuple[str, str]] = ()
    spans: Sequence[Span] = ()
    ticks: Sequence[tuple[float, str]] = ()
    heads: Sequence[str] = ()
    cells: Sequence[tuple[str, Sequence[Cell]]] = ()
    table: Sequence[Sequence[str]] = ()


class Value(NamedTuple):
    """A mean at a place, with an interval where there is one."""

    x: float | str
    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """Where it begins and ends; the mean where there is none."""
        if self.low is None or self.high is None:
            return self.mean, self.mean
        return self.low, self.high


Series = Mapping[str, Sequence[Value]]


class Scale:
    """From values to places, 0 to `size`, with a little room at both ends.

    Args:
        values: what is to have a place.
        size: where the places end.
        room: the share of the values' range that is left at each end.
        down: the largest value has place 0, as SVG counts from the top.
    """

    def __init__(
        self,
        values: Iterable[float],
        size: float = 100.0,
        *,
        room: float = 0.04,
        down: bool = False,
    ) -> None:
        kept = list(values) or [0.0]
        low, high = min(kept), max(kept)
        margin = (high - low) * room or abs(high) * 0.05 or 1.0
        self.low, self.high, self.size, self.down = low - margin, high + margin, size, down

    def __call__(self, value: float) -> float:
        """A value's place."""
        at = (value - self.low) / (self.high - self.low)
        return round(self.size * (1 - at if self.down else at), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers inside, each behind its place."""
        raw = (self.high - self.low) / _TICKS
        unit = 10.0 ** floor(log10(raw))
        step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
        first = int(self.low / step) - 1
        places = [step * n for n in range(first, first + 3 * _TICKS)]
        digits = max(0, -floor(log10(step)))
        return [(self(p), f"{p:.{digits}f}") for p in places if self.low <= p <= self.high]


def shape(tag: str, kind: str = "", text: str = "", **attributes: float | str) -> Shape:
    """An element of a class; `text_anchor` is the attribute text-anchor."""
    named = {name.replace("_", "-"): value for name, value in attributes.items()}
    rounded = {n: round(v, 2) if isinstance(v, float) else v for n, v in named.items()}
    return Shape(tag, {"class": kind, **rounded} if kind else rounded, text)


def axes(across: Iterable[tuple[float, str]], up: Scale, x: str) -> list[Shape]:
    """Lines and labels around a plot, and what runs along."""
    shapes = []
    for at, label in up.ticks():
        shapes.append(shape("line", x2=WIDTH, y1=at, y2=at))
        shapes.append(shape("text", text=label, x=-6, y=at + 6, text_anchor="end"))
    labels = [*((at, 262, label) for at, label in across), (WIDTH / 2, 286, x)]
    return shapes + [
        shape("text", text=label, x=at, y=y, text_anchor="middle") for at, y, label in labels
    ]


def series_chart(kind: str, title: str, series: Series, *, x: str, y: str, note: str) -> Chart:
    """A plot of several series.

    Args:
        kind: "lines" over numbers, "bars" over names, "heat" (a row for each series), or "dots" in
            a plane.
        title: what it shows.
        series: values by name.
        x: what runs along.
        y: what the values are.
        note: what one must know to read it.
    """
    if kind == "heat":
        return _heat(title, series, f"{y} by {x}", note)
    if kind == "dots":
        return Chart(title, "", note, list(_dots(series)), _key(series))
    draw: Callable[[Series, str], Iterator[Shape]] = _lines if kind == "lines" else _bars
    return Chart(title, y, note, list(draw(series, x)), _key(series), table=_table(series, x))


def interval_chart(
    title: str, rows: Sequence[tuple[Value, str, bool]], *, zero: bool = False, note: str = ""
) -> Chart:
    """Means with their intervals, one below the other.

    Args:
        title: what it shows.
        rows: values, named by their place, each with its figures and whether it stands out.
        zero: mark where 0 is.
        note: what one must know to read it.
    """
    scale = Scale([*([0.0] if zero else []), *_ends(value for value, _, _ in rows)])
    nothing = [shape("line", "zero", x1=scale(0.0), x2=scale(0.0), y1=0, y2=10)] if zero else []
    spans = []
    for value, told, sure in rows:
        at, (low, high) = scale(value.mean), map(scale, value.interval)
        track = shape("line", "track", x1=low, x2=high, y1=5, y2=5)
        mean = shape("rect", "mean", x=at - 0.4, y=1, width=0.8, height=8)
        spans.append(Span(str(value.x), told, [*nothing, track, mean], sure))
    return Chart(title, note=note, spans=spans, ticks=scale.ticks())


def _ends(values: Iterable[Value]) -> list[float]:
    return [end for value in values for end in (value.mean, *value.interval)]


def _all(series: Series) -> list[Value]:
    return [value for values in series.values() for value in values]


def _key(series: Series) -> list[tuple[str, str]]:
    return [(f"c{at % _COLOURS}", name) for at, name in enumerate(series)]


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)


def _lines(series: Series, x: str) -> Iterator[Shape]:
    across = Scale((float(value.x) for value in _all(series)), WIDTH, room=0.02)
    up = Scale(_ends(_all(series)), HEIGHT, down=True)
    yield from axes(across.ticks(), up, x)
    for (colour, _), values in zip(_key(series), series.values(), strict=True):
        sure = [value for value in values if value.low is not None and value.high is not None]
        band = [(across(float(value.x)), up(value.interval[1])) for value in sure]
        band += [(across(float(value.x)), up(value.interval[0])) for value in reversed(sure)]
        if band:
            yield shape("polygon", f"band {colour}", points=_points(band))
        line = [(across(float(value.x)), up(value.mean)) for value in values]
        yield shape("polyline", f"line {colour}", points=_points(line))


def _bars(series: Series, x: str) -> Iterator[Shape]:
    names = list(dict.fromkeys(str(value.x) for value in _all(series)))
    up = Scale([0.0, *_ends(_all(series))], HEIGHT, down=True)
    group = WIDTH / max(len(names), 1)
    width = 0.8 * group / max(len(series), 1)
    yield from axes([((at + 0.5) * group, name) for at, name in enumerate(names)], up, x)
    for at, ((colour, _), values) in enumerate(zip(_key(series), series.values(), strict=True)):
        for value in values:
            left = names.index(str(value.x)) * group + 0.1 * group + at * width
            top, base = sorted((up(value.mean), up(0.0)))
            yield shape("rect", f"bar {colour}", x=left, y=top, width=width * 0.92,
                        height=base - top)  # fmt: skip
            low, high = map(up, value.interval)
            if low != high:
                middle = left + width / 2
                yield shape("line", "whisker", x1=middle, x2=middle, y1=low, y2=high)


def _dots(series: Series) -> Iterator[Shape]:
    across = Scale((float(value.x) for value in _all(series)), WIDTH)
    up = Scale(_ends(_all(series)), HEIGHT, down=True)
    for (colour, _), values in zip(_key(series), series.values(), strict=True):
        for value in values:
            yield shape(
                "circle", f"dot {colour}", cx=across(float(value.x)), cy=up(value.mean), r=3
            )


def _heat(title: str, series: Series, what: str, note: str) -> Chart:
    columns: dict[str, list[float]] = {}
    for value in _all(series):
        columns.setdefault(str(value.x), []).append(value.mean)

    def cell(value: Value) -> Cell:
        low, high = min(columns[str(value.x)]), max(columns[str(value.x)])
        heat = (value.mean - low) / (high - low) if high > low else 0.5
        half = "" if value.high is None else f" ± {value.high - value.mean:.4f}"
        return Cell(f"{value.mean:.4f}{half}", round(heat, 3))

    cells = [(name, [cell(value) for value in values]) for name, values in series.items()]
    return Chart(title, what, note, heads=["", *columns], cells=cells)


def _table(series: Series, x: str) -> list[list[str]]:
    """The numbers behind a plot: a row for each place, a column for each series."""
    rows = [[x, *series]]
    for at in dict.fromkeys(value.x for value in _all(series)):
        found = [next((v for v in values if v.x == at), None) for values in series.values()]
        shown = f"{at:g}" if isinstance(at, float) else at
        rows.append([shown, *("" if value is None else f"{value.mean:.4f}" for value in found)])
    return rows
