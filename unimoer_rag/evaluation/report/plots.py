"""What the page's plots show, as plain numbers: the template draws them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from unimoer_rag.evaluation.results import Histogram

__all__ = [
    "Bar",
    "Bin",
    "Cell",
    "Distribution",
    "Movement",
    "distribution",
    "latency_bars",
    "movement",
]

# Last rank of each bucket, and what it is called. What was not found has none.
_BUCKETS = ((1, "1"), (2, "2"), (3, "3"), (5, "4-5"), (10, "6-10"), (20, "11-20"), (50, "21-50"))
_DEEPER, _NOWHERE = "deeper", "not found"


@dataclass(frozen=True, slots=True)
class Cell:
    """How many questions went from one bucket of ranks to another.

    Attributes:
        n: questions.
        heat: 0 to 1, for its colour; grows with the root, so that few are still seen.
        direction: "better", "worse" or "same".
    """

    n: int
    heat: float
    direction: str


@dataclass(frozen=True, slots=True)
class Movement:
    """Where reranking moved the first relevant passage.

    Attributes:
        labels: names of the buckets, best first.
        cells: a row for each bucket before reranking, a cell for each one after it.
        better: questions whose first relevant passage moved up.
        same: where it stayed.
        worse: where it moved down.
        missing: where it was not found at all.
    """

    labels: list[str]
    cells: list[list[Cell]]
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
        p50: milliseconds that half of the calls stay below.
        p95: that 95 of 100 stay below.
        p99: that 99 of 100 stay below.
        widths: the same three as percentages of the longest bar.
        part: whether the stage is a part of another.
    """

    name: str
    p50: float
    p95: float
    p99: float
    widths: tuple[float, float, float]
    part: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of a histogram.

    Attributes:
        low: where it begins.
        high: where it ends.
        relevant: how many relevant passages have such scores.
        other: how many others.
        heights: the shares of all relevant and of all others, 0 to 100, 100 the highest bar.
    """

    low: float
    high: float
    relevant: int
    other: int
    heights: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the scores of one stage lie.

    Attributes:
        stage: what it is called.
        bins: equally wide.
        n_relevant: scores of relevant passages.
        n_other: of the others.
        top: the share, in percent, that the highest bar stands for.
    """

    stage: str
    bins: list[Bin]
    n_relevant: int
    n_other: int
    top: float


def movement(ranks: Mapping[str, tuple[int | None, int | None]]) -> Movement:
    """Count questions by rank before and after reranking."""
    labels = [label for _, label in _BUCKETS] + [_DEEPER, _NOWHERE]
    counts = Counter((_bucket(before), _bucket(after)) for before, after in ranks.values())
    most = max(counts.values(), default=1)
    cells = [
        [
            Cell(
                n=counts[row, column],
                heat=round(sqrt(counts[row, column] / most), 3),
                direction="same" if row == column else ("better" if column < row else "worse"),
            )
            for column in range(len(labels))
        ]
        for row in range(len(labels))
    ]
    found = [(b, a) for b, a in ranks.values() if b is not None and a is not None]
    return Movement(
        labels=labels,
        cells=cells,
        better=sum(after < before for before, after in found),
        same=sum(after == before for before, after in found),
        worse=sum(after > before for before, after in found),
        missing=len(ranks) - len(found),
    )


def latency_bars(percentiles: Mapping[str, Mapping[str, float]]) -> list[Bar]:
    """One bar a stage, all to the same scale; parts of a stage follow it."""
    longest = max((times["p99"] for times in percentiles.values()), default=0.0) or 1.0
    roots = list(dict.fromkeys(name.partition("/")[0] for name in percentiles))
    bars = []
    # A part such as "answer/read" follows its whole.
    for name in sorted(percentiles, key=lambda n: (roots.index(n.partition("/")[0]), "/" in n)):
        p50, p95, p99 = (percentiles[name][p] for p in ("p50", "p95", "p99"))
        widths = (_percent(p50, longest), _percent(p95, longest), _percent(p99, longest))
        bars.append(Bar(name.partition("/")[2] or name, p50, p95, p99, widths, "/" in name))
    return bars


def distribution(stage: str, histogram: Histogram) -> Distribution:
    """A histogram as bars: each group by its own total, since relevant passages are few."""
    totals = [max(1, sum(counts)) for counts in (histogram.relevant, histogram.other)]
    shares = [
        (relevant / totals[0], other / totals[1])
        for relevant, other in zip(histogram.relevant, histogram.other, strict=True)
    ]
    top = max((max(pair) for pair in shares), default=0.0) or 1.0
    bins = [
        Bin(low, high, relevant, other, (_percent(mine, top), _percent(theirs, top)))
        for low, high, relevant, other, (mine, theirs) in zip(
            histogram.edges,
            histogram.edges[1:],
            histogram.relevant,
            histogram.other,
            shares,
            strict=False,  # one edge more than there are bins
        )
    ]
    return Distribution(
        stage, bins, sum(histogram.relevant), sum(histogram.other), round(100 * top, 1)
    )


def _bucket(rank: int | None) -> int:
    if rank is None:
        return len(_BUCKETS) + 1
    return next((at for at, (last, _) in enumerate(_BUCKETS) if rank <= last), len(_BUCKETS))


def _percent(value: float, of: float) -> float:
    return round(100 * value / of, 2)
