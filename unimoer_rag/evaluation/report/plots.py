"""What the page of a result plots: ranks before and after reranking, latency, scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from unimoer_rag.evaluation.report.charts import (
    HEIGHT,
    WIDTH,
    Cell,
    Chart,
    Scale,
    Shape,
    axes,
    shape,
)
from unimoer_rag.evaluation.results import Histogram

__all__ = ["Bar", "Movement", "distribution", "latency_bars", "movement"]

# Last rank of each bucket, and what it is called. What was not found has none.
_BUCKETS = ((1, "1"), (2, "2"), (3, "3"), (5, "4-5"), (10, "6-10"), (20, "11-20"), (50, "21-50"))
_LABELS = (*(label for _, label in _BUCKETS), "deeper", "not found")


@dataclass(frozen=True, slots=True)
class Movement:
    """Where reranking moved the first relevant passage.

    Attributes:
        chart: questions by bucket before (rows) and after (columns); colours tell "better",
            "worse", "same" and "none".
        better: questions whose first relevant passage moved up.
        same: where it stayed.
        worse: where it moved down.
        missing: where it was not found at all.
    """

    chart: Chart
    better: int
    same: int
    worse: int
    missing: int

    @property
    def n(self) -> int:
        """All questions."""
        return self.better + self.same + self.worse + self.missing


@dataclass(frozen=True, slots=True)
class Bar:
    """The times of one stage.

    Attributes:
        name: of the stage.
        times: milliseconds that 50, 95 and 99 of 100 calls stay below.
        shapes: the same on a line from 0 to 100, the longest of all stages.
        part: whether the stage is a part of another.
    """

    name: str
    times: Sequence[float]
    shapes: Sequence[Shape]
    part: bool


def movement(ranks: Mapping[str, tuple[int | None, int | None]]) -> Movement:
    """Count questions by rank before and after reranking."""
    counts = Counter((_bucket(before), _bucket(after)) for before, after in ranks.values())
    most = max(counts.values(), default=1)

    def cell(row: int, column: int) -> Cell:
        n = counts[row, column]
        direction = "same" if row == column else ("better" if column < row else "worse")
        # It grows with the root, so that few are still seen.
        return Cell(str(n), round(sqrt(n / most), 3), direction if n else "none")

    places = range(len(_LABELS))
    cells = [(_LABELS[row], [cell(row, column) for column in places]) for row in places]
    found = [(b, a) for b, a in ranks.values() if b is not None and a is not None]
    return Movement(
        Chart("Questions by the rank of the first relevant passage: rows before, columns after",
              heads=["before", *_LABELS], cells=cells),
        better=sum(after < before for before, after in found),
        same=sum(after == before for before, after in found),
        worse=sum(after > before for before, after in found),
        missing=len(ranks) - len(found),
    )  # fmt: skip


def latency_bars(percentiles: Mapping[str, Mapping[str, float]]) -> list[Bar]:
    """One bar a stage, all to the same scale; parts of a stage follow it."""
    longest = max((times["p99"] for times in percentiles.values()), default=0.0) or 1.0
    roots = list(dict.fromkeys(name.partition("/")[0] for name in percentiles))
    bars = []
    # A part such as "answer/read" follows its whole.
    for name in sorted(percentiles, key=lambda n: (roots.index(n.partition("/")[0]), "/" in n)):
        times = {p: percentiles[name][p] for p in ("p50", "p95", "p99")}
        shapes = [
            shape("rect", p, width=100 * ms / longest, height=10)
            for p, ms in reversed(times.items())
        ]
        shown = name.partition("/")[2] or name
        bars.append(Bar(shown, list(times.values()), shapes, "/" in name))
    return bars


def distribution(stage: str, histogram: Histogram) -> Chart:
    """Scores as bars of relevant passages and a line of others.

    Each group is drawn by its own total, since relevant passages are few.
    """
    groups = {"relevant passages": histogram.relevant, "other passages": histogram.other}
    relevant, other = ([100 * n / max(1, sum(of)) for n in of] for of in groups.values())
    across = Scale(histogram.edges, WIDTH, room=0.02)
    up = Scale([0.0, *relevant, *other], HEIGHT, down=True)
    bins = list(zip(histogram.edges, histogram.edges[1:], strict=False))
    bars, line = [], []
    for (low, high), share, others in zip(bins, relevant, other, strict=True):
        left, right = across(low), across(high)
        bars.append(shape("rect", "bar c0", x=left, y=up(share), width=0.92 * (right - left),
                          height=up(0.0) - up(share)))  # fmt: skip
        line += [f"{left},{up(others)}", f"{right},{up(others)}"]
    counted = zip(bins, histogram.relevant, histogram.other, strict=True)
    return Chart(
        f"{stage}: {sum(histogram.relevant):,} relevant, {sum(histogram.other):,} others",
        "percent of the group",
        shapes=[*axes(across.ticks(), up, "score"), *bars,
                shape("polyline", "line c1", points=" ".join(line))],
        key=[(f"c{at}", name) for at, name in enumerate(groups)],
        table=[
            ["score", "relevant", "other"],
            *([f"{low:,.3f} to {high:,.3f}", str(a), str(b)]
              for (low, high), a, b in counted if a or b),
        ],
    )  # fmt: skip


def _bucket(rank: int | None) -> int:
    if rank is None:
        return len(_BUCKETS) + 1
    return next((at for at, (last, _) in enumerate(_BUCKETS) if rank <= last), len(_BUCKETS))
