"""A study's tables: what variants scored, how they differ, what was counted inside them."""

from __future__ import annotations

from unimoer_rag.lab.studies.results import Compared, Score, StudyResult
from unimoer_rag.lab.tables import Table

__all__ = ["by_set", "comparisons", "markdown", "numbers", "scores"]

_TASKS = ("embed", "rerank")
_GROUPS = ("own/embed", "own/rerank", "other/embed", "other/rerank")
"""Questions of the sets that were trained on, kept from training, and those of other sets."""


def scores(result: StudyResult, *, sets: bool = True) -> Table:
    """Every variant's nDCG@10 of both tasks, and of each data set where asked for.

    Where sets were trained on, those of them and the others stand in the place of single sets.
    """
    told = [*_TASKS, *(_GROUPS if result.own else ())]
    named = set(_TASKS) | set(_GROUPS)
    single = [m for m in _measures(result) if m not in named] if sets and not result.own else []
    rows = []
    for name, variant in result.variants.items():
        size = f"{variant.parameters['experts']:,}" if variant.trained else "0"
        cells = [_score(variant.scores.get(m)) for m in told]
        rows.append([name, size, *cells, *(_mean(variant.scores.get(m)) for m in single)])
    return Table(
        f"nDCG@10, mean of {_seeds(result)} [95% interval over seeds]",
        ["variant", "parameters of experts", *told, *single],
        rows,
    )


def by_set(result: StudyResult) -> Table:
    """Every variant's mean of each data set, where these are too many for one row."""
    rows = [
        [measure, *(_mean(variant.scores.get(measure)) for variant in result.variants.values())]
        for measure in _measures(result)
        if result.own and measure not in {*_TASKS, *_GROUPS}
    ]
    return Table("nDCG@10 by data set", ["set/task", *result.variants], rows)


def comparisons(result: StudyResult) -> Table:
    """Every comparison: difference, interval, corrected p-value, and what that means."""
    margin = any(c.margin is not None for c in result.comparisons)
    rows = [
        [
            f"{c.second} - {c.first}",
            c.measure,
            f"{c.difference:+.4f} [{c.low:+.4f}, {c.high:+.4f}]",
            "" if c.relative is None else f"{100 * c.relative:+.2f}%",
            _p(c.p),
            _p(c.p_holm),
            *((_FAMILIES[c.family], f"{c.seeds}", *_equality(c)) if margin else ()),
            _verdict(c),
        ]
        for c in result.comparisons
    ]
    more = ["family", "seeds", "p of a difference beyond the margin", "detectable"]
    return Table(
        "Differences [95% interval over seeds and questions]",
        [
            "comparison", "task", "difference", "relative", "p", "p (Holm)",
            *(more if margin else ()), "verdict",
        ],
        rows,
    )  # fmt: skip


_FAMILIES = {"gate": "gate", "main": "named beforehand", "second": "beside"}


def _measures(result: StudyResult) -> list[str]:
    """What some variant was measured by, in order."""
    return list(dict.fromkeys(m for v in result.variants.values() for m in v.scores))


def _seeds(result: StudyResult) -> str:
    """How many seeds the variants have, which differs while runs are missing."""
    numbers = sorted({len(v.runs) for v in result.variants.values() if v.trained}) or [1]
    least, most = numbers[0], numbers[-1]
    told = f"{most}" if least == most else f"{least} to {most}"
    return f"{told} {'seed' if most == 1 else 'seeds'}"


def _equality(compared: Compared) -> tuple[str, str]:
    """The p-value of equality within the margin, and what could have been found."""
    equal = "" if compared.p_equal is None else _p(compared.p_equal)
    return equal, "" if compared.detectable is None else f"±{compared.detectable:.4f}"


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
    tables = (scores(result), by_set(result), comparisons(result), numbers(result))
    return "\n\n".join(table.markdown() for table in tables if table.rows) + "\n"


def _mean(score: Score | None) -> str:
    return "" if score is None else f"{score.mean:.4f}"


def _score(score: Score | None) -> str:
    if score is None:
        return ""
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
    if not compared.tested:
        return "not tested"
    if compared.significant:
        return "higher" if compared.difference > 0 else "lower"
    return "equal" if compared.equal else "not significant"
