"""What the page's plots show, as plain numbers: the template draws them as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import floor, log10

from unimoer_rag.lab.studies.panels import Folded, Point
from unimoer_rag.lab.studies.results import StudyResult

__all__ = ["Chart", "Mark", "Span", "Tick", "differences", "draw", "levels"]

WIDTH, HEIGHT = 600.0, 240.0
"""Of the plotted area, in the units of the SVG."""

_TICKS = 5
_COLOURS = 8  # of the style sheet; further series begin again


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One series of lines or dots, or the bars of one.

    Attributes:
        name: of the series.
        colour: number of its colour.
        points: `(x, y)` in the units of the SVG.
        band: the outline of its intervals, empty without.
        bars: `(x, y, width, height, low, high)`; the last two are where the interval ends.
    """

    name: str
    colour: int
    points: Sequence[tuple[float, float]] = ()
    band: Sequence[tuple[float, float]] = ()
    bars: Sequence[tuple[float, float, float, float, float, float]] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A mean with its interval, on a line of its own.

    Attributes:
        name: what it is of.
        at: the mean, 0 to 100 along the line.
        low: where the interval begins.
        high: where it ends.
        told: the same in figures.
        sure: whether it is to stand out.
    """

    name: str
    at: float
    low: float
    high: float
    told: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot: its axes, and its marks, spans or cells.

    Attributes:
        title: what it shows.
        kind: "lines", "bars", "dots", "heat" or "spans".
        x: what runs along.
        y: what the values are.
        note: what one must know to read it.
        x_ticks: of the axis below.
        y_ticks: of the axis on the left.
        marks: of lines, bars and dots.
        spans: of intervals.
        zero: where no difference is, on the lines of the spans; None where that says nothing.
        columns: heads of the cells.
        cells: rows of a heat map: name, and pairs of a figure and its heat from 0 to 1.
        table: the numbers behind it: head, then rows.
    """

    title: str
    kind: str
    x: str = ""
    y: str = ""
    note: str = ""
    x_ticks: Sequence[Tick] = ()
    y_ticks: Sequence[Tick] = ()
    marks: Sequence[Mark] = ()
    spans: Sequence[Span] = ()
    zero: float | None = None
    columns: Sequence[str] = ()
    cells: Sequence[tuple[str, Sequence[tuple[str, float]]]] = ()
    table: Sequence[Sequence[str]] = field(default=())


def draw(panel: Folded, variant: str) -> Chart:
    """A panel of a variant as a plot."""
    title = f"{panel.title} ({variant})"
    kinds = {"lines": _lines, "bars": _bars, "dots": _dots, "heat": _heat}
    return kinds[panel.kind](panel, title)


def levels(result: StudyResult, task: str) -> Chart:
    """Every variant's score of a task, with its interval over seeds."""
    scores = {name: v.scores[task] for name, v in result.variants.items() if task in v.scores}
    ends = [e for s in scores.values() for e in (s.mean, s.low, s.high) if e is not None]
    scale = _Scale(ends)
    spans = [
        Span(
            name=name,
            at=scale(s.mean),
            low=scale(s.mean if s.low is None else s.low),
            high=scale(s.mean if s.high is None else s.high),
            told=f"{s.mean:.4f}",
            sure=True,
        )
        for name, s in scores.items()
    ]
    return Chart(f"nDCG@10 of {task}", "spans", spans=spans, x_ticks=scale.ticks())


def differences(result: StudyResult) -> Chart:
    """Every comparison's difference with its interval, around no difference."""
    found = result.comparisons
    scale = _Scale([0.0, *(end for c in found for end in (c.low, c.high))])
    spans = [
        Span(
            name=f"{c.second} - {c.first}: {c.measure}",
            at=scale(c.difference),
            low=scale(c.low),
            high=scale(c.high),
            told=f"{c.difference:+.4f}",
            sure=c.significant,
        )
        for c in found
    ]
    return Chart(
        "Differences in nDCG@10",
        "spans",
        spans=spans,
        zero=scale(0.0),
        x_ticks=scale.ticks(),
        note="Bright: significant once all comparisons of the study are considered (Holm).",
    )


class _Scale:
    """From values to places, 0 to `size`, with a little room at both ends."""

    def __init__(self, values: Iterable[float], size: float = 100.0, *, room: float = 0.04) -> None:
        kept = list(values) or [0.0]
        low, high = min(kept), max(kept)
        margin = (high - low) * room or abs(high) * 0.05 or 1.0
        self.low, self.high, self.size = low - margin, high + margin, size

    def __call__(self, value: float) -> float:
        return round(self.size * (value - self.low) / (self.high - self.low), 2)

    def ticks(self) -> list[Tick]:
        """Round numbers inside."""
        raw = (self.high - self.low) / _TICKS
        unit = 10.0 ** floor(log10(raw))
        step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
        first = int(self.low / step) - 1
        places = [step * n for n in range(first, first + 3 * _TICKS)]
        digits = max(0, -floor(log10(step)))
        return [Tick(self(p), f"{p:.{digits}f}") for p in places if self.low <= p <= self.high]


def _vertical(panel: Folded, *, zero: bool = False) -> _Scale:
    ends = [
        end
        for points in panel.series.values()
        for p in points
        for end in (p.mean, p.low, p.high)
        if end is not None
    ]
    return _Scale([0.0, *ends] if zero else ends, HEIGHT)


def _flipped(ticks: Iterable[Tick]) -> list[Tick]:
    """SVG counts from the top."""
    return [Tick(HEIGHT - tick.at, tick.label) for tick in ticks]


def _lines(panel: Folded, title: str) -> Chart:
    across = _Scale((float(p.x) for ps in panel.series.values() for p in ps), WIDTH, room=0.02)
    up = _vertical(panel)

    def place(x: float | str, y: float) -> tuple[float, float]:
        return across(float(x)), round(HEIGHT - up(y), 2)

    marks = []
    for at, (name, points) in enumerate(panel.series.items()):
        sure = [p for p in points if p.low is not None and p.high is not None]
        band = [place(p.x, p.high or 0.0) for p in sure] + [
            place(p.x, p.low or 0.0) for p in reversed(sure)
        ]
        line = [place(p.x, p.mean) for p in points]
        marks.append(Mark(name, at % _COLOURS, points=line, band=band))
    return Chart(
        title, "lines", panel.x, panel.y, panel.note,
        x_ticks=across.ticks(), y_ticks=_flipped(up.ticks()), marks=marks, table=_table(panel),
    )  # fmt: skip


def _bars(panel: Folded, title: str) -> Chart:
    names = list(dict.fromkeys(str(p.x) for points in panel.series.values() for p in points))
    up = _vertical(panel, zero=True)
    base = HEIGHT - up(0.0)
    group = WIDTH / max(len(names), 1)
    width = 0.8 * group / max(len(panel.series), 1)
    marks = []
    for at, (name, points) in enumerate(panel.series.items()):
        bars = []
        for p in points:
            left = names.index(str(p.x)) * group + 0.1 * group + at * width
            end = HEIGHT - up(p.mean)
            low = HEIGHT - up(p.mean if p.low is None else p.low)
            high = HEIGHT - up(p.mean if p.high is None else p.high)
            numbers = (left, min(end, base), width * 0.92, abs(base - end), low, high)
            bars.append(tuple(round(n, 2) for n in numbers))
        marks.append(Mark(name, at % _COLOURS, bars=bars))  # type: ignore[arg-type]
    ticks = [Tick((at + 0.5) * group, name) for at, name in enumerate(names)]
    return Chart(
        title, "bars", panel.x, panel.y, panel.note,
        x_ticks=ticks, y_ticks=_flipped(up.ticks()), marks=marks, table=_table(panel),
    )  # fmt: skip


def _dots(panel: Folded, title: str) -> Chart:
    across = _Scale((float(p.x) for ps in panel.series.values() for p in ps), WIDTH)
    up = _vertical(panel)
    marks = [
        Mark(
            name,
            at % _COLOURS,
            points=[(across(float(p.x)), round(HEIGHT - up(p.mean), 2)) for p in points],
        )
        for at, (name, points) in enumerate(panel.series.items())
    ]
    return Chart(title, "dots", note=panel.note, marks=marks)


def _heat(panel: Folded, title: str) -> Chart:
    columns = list(dict.fromkeys(str(p.x) for points in panel.series.values() for p in points))
    by_column = {
        column: [p.mean for points in panel.series.values() for p in points if str(p.x) == column]
        for column in columns
    }
    cells = [
        (name, [_cell(p, by_column[str(p.x)]) for p in points])
        for name, points in panel.series.items()
    ]
    return Chart(title, "heat", panel.x, panel.y, panel.note, columns=columns, cells=cells)


def _cell(point: Point, column: Sequence[float]) -> tuple[str, float]:
    low, high = min(column), max(column)
    heat = (point.mean - low) / (high - low) if high > low else 0.5
    half = "" if point.high is None else f" ± {point.high - point.mean:.4f}"
    return f"{point.mean:.4f}{half}", round(heat, 3)


def _table(panel: Folded) -> list[list[str]]:
    """The numbers behind a plot: a row for each place, a column for each series."""
    places = list(dict.fromkeys(p.x for points in panel.series.values() for p in points))
    rows = [[panel.x or "", *panel.series]]
    for x in places:
        found = [next((p for p in ps if p.x == x), None) for ps in panel.series.values()]
        shown = f"{x:g}" if isinstance(x, float) else x
        rows.append([shown, *("" if p is None else f"{p.mean:.4f}" for p in found)])
    return rows
