"""From the runs of a study to its result: scores, differences, panels of all seeds."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from unimoer_rag.evaluation import versions
from unimoer_rag.lab.studies.measuring import Values, pooled
from unimoer_rag.lab.studies.panels import Findings, fold, fold_numbers
from unimoer_rag.lab.studies.results import Compared, Score, StudyResult, VariantResult
from unimoer_rag.lab.studies.runs import Done, StudyRun
from unimoer_rag.lab.studies.settings import Base, Comparison, Study
from unimoer_rag.lab.studies.stats import compare, holm, over_seeds

__all__ = ["Outcome", "Sizes", "summarise"]

Sizes = dict[str, dict[str, int]]
"""Data set -> "questions" and "passages" -> how many."""

_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, finished and measured."""

    run: StudyRun
    done: Done
    values: Values
    findings: Mapping[str, Findings]


def summarise(
    study: Study,
    base: Base,
    outcomes: Mapping[tuple[str, int], Outcome],
    development: Sizes,
    command: str,
) -> StudyResult:
    """The result of a study whose runs are all finished.

    Args:
        study: what is compared.
        base: what it began from.
        outcomes: of every variant and seed.
        development: questions and passages by data set.
        command: what repeats it.
    """
    seeds = {
        name: [outcome for (variant, _), outcome in outcomes.items() if variant == name]
        for name in study.variants
    }
    values = {
        name: [{**o.values, **pooled(o.values)} for o in of_name] for name, of_name in seeds.items()
    }
    return StudyResult(
        name=study.name,
        title=study.title,
        question=study.question,
        command=command,
        machine=_machine(),
        versions=versions([], others=("scipy", "scikit-learn")),
        seeds=list(base.seeds),
        steps=base.recipe["optimizer"]["steps"],
        development=development,
        variants={
            name: _variant(study, name, of_name, values[name]) for name, of_name in seeds.items()
        },
        comparisons=_compared(study.comparisons, values),
        values={
            name: {what: [o.values[what] for o in of_name] for what in of_name[0].values}
            for name, of_name in seeds.items()
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
        runs=[o.run.digest for o in seeds],
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


def _compared(
    comparisons: tuple[Comparison, ...], values: Mapping[str, list[Values]]
) -> list[Compared]:
    def of(name: str, what: str) -> list[list[float]]:
        return [list(of_seed[what].values()) for of_seed in values[name]]

    found = [
        (wanted, what, compare(of(wanted.first, what), of(wanted.second, what)))
        for wanted in comparisons
        for what in wanted.measures
    ]
    corrected = holm([d.p for _, _, d in found])
    return [
        Compared(
            first=wanted.first,
            second=wanted.second,
            measure=what,
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
        )
        for (wanted, what, d), p_holm in zip(found, corrected, strict=True)
    ]


def _machine() -> dict[str, str]:
    """What the runs ran on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
    }
