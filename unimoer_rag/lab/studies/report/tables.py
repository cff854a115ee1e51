"""A study's tables: what variants scored, how they differ, what was counted inside them."""

from __future__ import annotations

from unimoer_rag.lab.studies.results import Compared, Score, StudyResult
from unimoer_rag.lab.tables import Table

__all__ = ["comparisons", "markdown", "numbers", "scores"]

_TASKS = ("embed", "rerank")


def scores(result: StudyResult, *, sets: bool = True) -> Table:
    """Every variant's nDCG@10 of both tasks, and of each data set where asked for."""
    first = next(iter(result.variants.values()))
    measures = [*_TASKS, *(m for m in first.scores if sets and m not in _TASKS)]
    rows = []
    for name, variant in result.variants.items():
        size = f"{variant.parameters['experts']:,}" if variant.trained else "0"
        cells = [
            _score(variant.scores[m]) if m in _TASKS else f"{variant.scores[m].mean:.4f}"
            for m in measures
        ]
        rows.append([name, size, *cells])
    seeds = len(result.seeds)
    return Table(
        f"nDCG@10, mean of {seeds} {'seed' if seeds == 1 else 'seeds'} [95% interval over seeds]",
        ["variant", "parameters of experts", *measures],
        rows,
    )


def comparisons(result: StudyResult) -> Table:
    """Every comparison: difference, interval, corrected p-value, and what that means."""
    rows = [
        [
            f"{c.second} - {c.first}",
            c.measure,
            f"{c.difference:+.4f} [{c.low:+.4f}, {c.high:+.4f}]",
            "" if c.relative is None else f"{100 * c.relative:+.2f}%",
            _p(c.p),
            _p(c.p_holm),
            _verdict(c),
        ]
        for c in result.comparisons
    ]
    return Table(
        "Differences [95% interval over seeds and questions]",
        ["comparison", "task", "difference", "relative", "p", "p (Holm)", "verdict"],
        rows,
    )


def numbers(result: StudyResult) -> Table:
    """What analyses counted in the checkpoints, by variant."""
    rows = [
        [what, name, _number(score)]
        for name, variant in result.variants.items()
        for what, score in variant.numbers.items()
    ]
    return Table("Inside the checkpoints [95% interval over seeds]", ["", "variant", "value"], rows)


def markdown(result: StudyResult) -> str:
    """All tables of a study that have rows, in Markdown."""
    tables = (scores(result), comparisons(result), numbers(result))
    return "\n\n".join(table.markdown() for table in tables if table.rows) + "\n"


def _score(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.mean:.4f}"
    return f"{score.mean:.4f} [{score.low:.4f}, {score.high:.4f}]"


def _number(score: Score) -> str:
    shown = f"{score.mean:.4g}"
    if score.low is None or score.high is None or score.low == score.high:
        return shown
    return f"{shown} [{score.low:.4g}, {score.high:.4g}]"


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _verdict(compared: Compared) -> str:
    if not compared.significant:
        return "not significant"
    return "higher" if compared.difference > 0 else "lower"
