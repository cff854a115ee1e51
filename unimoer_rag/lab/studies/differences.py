"""A study's comparisons: differences, corrected p-values, and whether they were tested at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unimoer_rag.lab.studies.measuring import Values
from unimoer_rag.lab.studies.results import Compared
from unimoer_rag.lab.studies.settings import Comparison, Study
from unimoer_rag.lab.studies.stats import Difference, compare, detectable, equivalence, holm

__all__ = ["compared"]

_DIGITS = 5


@dataclass(frozen=True, slots=True)
class _Found:
    """A comparison by one measure."""

    wanted: Comparison
    measure: str
    difference: Difference


def compared(study: Study, values: Mapping[str, Mapping[int, Values]]) -> list[Compared]:
    """The study's comparisons of the variants and seeds that there are.

    Args:
        study: names them.
        values: variant -> seed -> measure -> question -> value.
    """
    found = [
        _Found(wanted, measure, difference)
        for wanted in study.comparisons
        for measure in wanted.measures
        if (difference := _difference(wanted, measure, values)) is not None
    ]
    rows: list[Compared] = []
    for family in dict.fromkeys(one.wanted.family for one in found):
        rows += _corrected([one for one in found if one.wanted.family == family], study.margin)
    return _told_apart(study, rows)


def _difference(
    wanted: Comparison, measure: str, values: Mapping[str, Mapping[int, Values]]
) -> Difference | None:
    """Over the seeds that both have; None where there is none, or one is not measured so."""
    first, second = values.get(wanted.first, {}), values.get(wanted.second, {})
    seeds = [s for s in first if s in second and measure in first[s] and measure in second[s]]
    if not seeds:
        return None
    questions = list(first[seeds[0]][measure])
    before, after = (
        [[of[seed][measure][q] for q in questions] for seed in seeds] for of in (first, second)
    )
    return compare(before, after)


def _corrected(family: list[_Found], share: float | None) -> list[Compared]:
    """The comparisons of one family, their p-values corrected for each other."""
    p_holm = holm([one.difference.p for one in family])
    margins = [None if share is None else share * one.difference.first for one in family]
    p_equal: list[float | None] = [None] * len(family)
    if share is not None:
        pairs = zip(family, margins, strict=True)
        p_equal = [*holm([equivalence(one.difference, margin or 0.0) for one, margin in pairs])]
    return [
        _row(one, corrected, margin, equal)
        for one, corrected, margin, equal in zip(family, p_holm, margins, p_equal, strict=True)
    ]


def _row(one: _Found, p_holm: float, margin: float | None, p_equal: float | None) -> Compared:
    d = one.difference
    return Compared(
        first=one.wanted.first,
        second=one.wanted.second,
        measure=one.measure,
        first_mean=round(d.first, _DIGITS),
        second_mean=round(d.second, _DIGITS),
        difference=round(d.difference, _DIGITS),
        low=round(d.low, _DIGITS),
        high=round(d.high, _DIGITS),
        relative=round(d.difference / d.first, _DIGITS) if d.first else None,
        p=d.p,
        p_holm=p_holm,
        boot_low=round(d.boot_low, _DIGITS),
        boot_high=round(d.boot_high, _DIGITS),
        seeds=d.seeds,
        questions=d.questions,
        family=one.wanted.family,
        margin=None if margin is None else round(margin, _DIGITS),
        p_equal=p_equal,
        detectable=None if margin is None else round(detectable(d), _DIGITS),
    )


def _told_apart(study: Study, rows: list[Compared]) -> list[Compared]:
    """The rows, those of a task whose gate is shut marked as not tested.

    A gate that has not been compared yet is shut.
    """
    gates = {
        (gate.first, gate.second, measure)
        for gate in study.comparisons
        if gate.family == "gate"
        for measure in gate.measures
    }
    passed = {(r.first, r.second, r.measure) for r in rows if r.significant and r.difference > 0}
    shut = {measure.rpartition("/")[2] for *_, measure in gates - passed}
    return [
        r.model_copy(
            update={"tested": r.family == "gate" or r.measure.rpartition("/")[2] not in shut}
        )
        for r in rows
    ]
