"""From the runs of a study to its result: scores, differences, panels of all seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unimoer_rag.lab.studies.differences import compared
from unimoer_rag.lab.studies.measuring import Values, pooled
from unimoer_rag.lab.studies.panels import Findings, fold, fold_numbers
from unimoer_rag.lab.studies.provenance import found_versions, machine
from unimoer_rag.lab.studies.results import Score, StudyResult, VariantResult
from unimoer_rag.lab.studies.runs import Done
from unimoer_rag.lab.studies.settings import Base, Study
from unimoer_rag.lab.studies.stats import over_seeds

__all__ = ["Outcome", "Sizes", "summarise"]

Sizes = dict[str, dict[str, int]]
"""Data set -> "questions" and "passages" -> how many."""

_DIGITS = 5

_Seeds = dict[int, Values]
"""A variant's values by seed, those of all data sets together among them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, finished and measured."""

    digest: str
    done: Done
    values: Values
    findings: Mapping[str, Findings]


def summarise(
    study: Study,
    base: Base,
    outcomes: Mapping[tuple[str, int], Outcome],
    development: Sizes,
    *,
    command: str,
    planned: int,
) -> StudyResult:
    """The result of a study, as far as its runs are finished.

    A variant without a run is left out; two variants are compared over the seeds that both have.

    Args:
        study: what is compared.
        base: what it began from.
        outcomes: by variant and seed.
        development: questions and passages by data set.
        command: what repeats it.
        planned: how many runs it has when all are finished.
    """
    trained_on = {s for o in base.recipe["objectives"].values() for s in o["sources"]}
    own = tuple(name for name in development if name in trained_on)
    runs = {
        name: {seed: o for (variant, seed), o in outcomes.items() if variant == name}
        for name in study.variants
    }
    runs = {name: of_name for name, of_name in runs.items() if of_name}
    values: dict[str, _Seeds] = {
        name: {seed: {**o.values, **pooled(o.values, own)} for seed, o in of_name.items()}
        for name, of_name in runs.items()
    }
    return StudyResult(
        name=study.name,
        title=study.title,
        question=study.question,
        command=command,
        machine=machine(),
        versions=found_versions(),
        seeds=[seed for seed in base.seeds if any(seed in of_name for of_name in runs.values())],
        steps=base.recipe["optimizer"]["steps"],
        development=development,
        own=own,
        planned=planned,
        variants={
            name: _variant(study, name, [*of_name.values()], [*values[name].values()])
            for name, of_name in runs.items()
        },
        comparisons=compared(study, values),
        values={
            name: {
                what: [o.values[what] for o in of_name.values()]
                for what in next(iter(of_name.values())).values
            }
            for name, of_name in runs.items()
        },
    )


def _variant(study: Study, name: str, seeds: list[Outcome], values: list[Values]) -> VariantResult:
    variant = study.variants[name]
    analyses = [a for a, variants in study.analyses.items() if name in variants]
    seen = values if variant.trained else values[:1]  # the same for every seed: no interval
    numbers: dict[str, Score] = {}
    for analysis in analyses:
        found = fold_numbers([o.findings[analysis] for o in seeds])
        numbers |= {what: _score(each) for what, each in found.items()}
    return VariantResult(
        about=variant.about,
        trained=variant.trained,
        runs=[o.digest for o in seeds],
        parameters=seeds[0].done.parameters,
        seconds=[o.done.seconds for o in seeds],
        scores={
            what: _score([sum(v[what].values()) / len(v[what]) for v in seen]) for what in values[0]
        },
        numbers=numbers,
        panels=[p for a in analyses for p in fold([o.findings[a] for o in seeds])],
    )


def _score(each: list[float]) -> Score:
    over = over_seeds(each)
    low, high = (None if end is None else round(end, _DIGITS) for end in (over.low, over.high))
    seeds = [round(value, _DIGITS) for value in each]
    return Score(mean=round(over.mean, _DIGITS), low=low, high=high, seeds=seeds)
