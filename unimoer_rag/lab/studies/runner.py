"""A study from beginning to end: its runs, their measures, analyses, comparisons, one result.

Runs are made one after the other, seed by seed. A second process with the same command shares the
work: it takes the runs that the first has not begun.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unimoer_rag.errors import TrainingError
from unimoer_rag.evaluation import asked
from unimoer_rag.lab.studies.analyses import ANALYSES, Subject
from unimoer_rag.lab.studies.backbones import cut_backbone
from unimoer_rag.lab.studies.comparing import Outcome, Sizes, summarise
from unimoer_rag.lab.studies.measuring import Development, Values, measure, prepare
from unimoer_rag.lab.studies.panels import Findings
from unimoer_rag.lab.studies.results import StudyResult
from unimoer_rag.lab.studies.runs import StudyRun, digest_of_data, expert_parameters, kept
from unimoer_rag.lab.studies.settings import Base, DevSet, Study
from unimoer_rag.lab.studies.sharing import share
from unimoer_rag.lab.studies.stats import over_seeds
from unimoer_rag.progress import Progress, silent
from unimoer_rag.training import skeleton_of

__all__ = ["Budget", "run_study"]

_KEY = 12  # characters of a digest in a file's name


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be made smaller for a trial.

    Attributes:
        seeds: of the runs; the base's without.
        steps: of each run; the recipe's without.
        questions: at most so many of each development set.
    """

    seeds: tuple[int, ...] = ()
    steps: int | None = None
    questions: int | None = None

    def applied(self, base: Base) -> Base:
        """The base made smaller."""
        recipe, development = base.recipe, base.development
        if self.steps is not None:
            recipe = {**recipe, "optimizer": {**recipe["optimizer"], "steps": self.steps}}
        if self.questions is not None:
            development = {
                name: s.model_copy(update={"questions": min(s.questions, self.questions)})
                for name, s in development.items()
            }
        return Base(recipe=recipe, development=development, seeds=self.seeds or base.seeds)


class _Measures:
    """The development sets of a study, prepared when the first run needs them."""

    def __init__(self, data: Path, sets: Mapping[str, DevSet]) -> None:
        self._data, self._sets = data, sets
        digest = digest_of_data(data, tuple(sets))
        said = "".join(f"{name}{settings!r}" for name, settings in sets.items())
        self.key = hashlib.sha256(f"{digest}{said}".encode()).hexdigest()[:_KEY]

    @cached_property
    def sets(self) -> list[Development]:
        return prepare(self._data, self._sets)

    def sizes(self) -> Sizes:
        """Questions and passages by data set."""
        return {
            d.dataset.name: {"questions": len(asked(d.dataset)), "passages": len(d.dataset.corpus)}
            for d in self.sets
        }


def run_study(
    study: Study,
    base: Base,
    *,
    data: Path,
    runs: Path,
    budget: Budget | None = None,
    command: str = "",
    on_progress: Progress = silent,
) -> StudyResult:
    """Make the runs of a study that are not there yet, and compare them.

    Args:
        study: what to compare.
        base: what it begins from.
        data: folder of the data sets.
        runs: folder of runs, mined negatives and cut backbones; studies share them.
        budget: makes it smaller.
        command: what repeats it, for the result.
        on_progress: called with a phase, what is done of it and its size.

    Raises:
        DataError: a data set is missing or malformed.
        TrainingError: a variant's changes make no recipe, or the variants' parameters differ.
        MissingExtraError: the extra `studies` is not installed.
        KeyboardInterrupt: it was interrupted; what was done is kept.
    """
    over_seeds([0.0, 1.0])  # what is not installed is told now, not after hours
    base = (budget or Budget()).applied(base)
    plan = _plan(study, base, data, runs)
    _check_parameters(study, {name: run for (name, _), run in plan.items()})
    measures = _Measures(data, base.development)
    finished: set[str] = set()

    def work(key: tuple[str, int]) -> Outcome:
        on_progress(study.name, len(finished), len(plan))
        wanted = [name for name, variants in study.analyses.items() if key[0] in variants]
        outcome = _outcome(plan[key], measures, wanted, runs, on_progress)
        finished.add(f"{key}")
        on_progress(study.name, len(finished), len(plan))
        return outcome

    outcomes = share(plan, lambda key: plan[key].folder, work)
    development = kept(runs / f"development-{measures.key}.json", Sizes, measures.sizes)
    return summarise(study, base, outcomes, development, command)


def _plan(study: Study, base: Base, data: Path, home: Path) -> dict[tuple[str, int], StudyRun]:
    """Every run of a study, seed by seed; nothing is begun where one of them cannot be."""
    recipes = {
        # What is not trained is the same for all seeds.
        (name, seed): study.recipe(base, name, seed=seed if v.trained else base.seeds[0])
        for seed in base.seeds
        for name, v in study.variants.items()
    }
    for (name, seed), recipe in recipes.items():
        if (layers := study.variants[name].layers) is not None:
            cut = cut_backbone(recipe.backbone, layers, home / "backbones")
            recipes[name, seed] = recipe.model_copy(update={"backbone": str(cut)})
    digests = {r.sources: digest_of_data(data, r.sources) for r in recipes.values()}
    return {
        key: StudyRun(
            recipe=recipe,
            trained=study.variants[key[0]].trained,
            data=data,
            data_digest=digests[recipe.sources],
            home=home,
        )
        for key, recipe in recipes.items()
    }


def _outcome(
    run: StudyRun, measures: _Measures, analyses: list[str], home: Path, on_progress: Progress
) -> Outcome:
    done = run.finish(cache=home / "mined", on_progress=on_progress)
    subject = Subject(run, lambda: measures.sets, on_progress)

    def measured() -> Values:
        on_progress("measuring", 0, 1)
        values = measure(subject.model, measures.sets)
        on_progress("measuring", 1, 1)
        return values

    values = run.kept(f"values-{measures.key}", Values, measured)
    findings = {}
    for name in analyses:
        found = ANALYSES[name]
        findings[name] = run.kept(f"{name}-{measures.key}", Findings, lambda f=found: f(subject))  # type: ignore[misc]
    return Outcome(run, done, values, findings)


def _check_parameters(study: Study, runs: Mapping[str, StudyRun]) -> None:
    """Refuse to compare variants of different sizes.

    Raises:
        TrainingError: the experts of two differ by more than the study allows.
    """
    trained = {name: run.recipe for name, run in runs.items() if run.trained}
    sizes = {name: expert_parameters(skeleton_of(recipe)) for name, recipe in trained.items()}
    if study.equal_parameters is None or not sizes:
        return
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[large] > sizes[small] * (1 + study.equal_parameters):
        raise TrainingError(
            f"study {study.name!r} compares equal parameters, and the experts of {small!r} have "
            f"{sizes[small]:,}, those of {large!r} {sizes[large]:,}: change their ranks, or set "
            "equal_parameters to null"
        )
