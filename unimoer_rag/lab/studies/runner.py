"""A study from beginning to end: its runs, their measures, analyses, comparisons, one result.

Runs are made one after the other, seed by seed. A second process with the same command shares the
work: it takes the runs that the first has not begun. A run that has a record is not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unimoer_rag.errors import TrainingError
from unimoer_rag.lab.studies.analyses import ANALYSES, Subject, watch_gradients
from unimoer_rag.lab.studies.backbones import cut_backbone
from unimoer_rag.lab.studies.comparing import Outcome, Sizes, summarise
from unimoer_rag.lab.studies.measuring import Development, Values, measure, prepare
from unimoer_rag.lab.studies.panels import Findings
from unimoer_rag.lab.studies.provenance import found_versions, machine
from unimoer_rag.lab.studies.records import Record, Records, Sets, sets_of
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

    def __init__(self, data: Path, sets: Mapping[str, DevSet], records: Path) -> None:
        self._data, self._sets = data, sets
        digest = digest_of_data(data, tuple(sets))
        said = "".join(
            f"{name}{settings.model_dump_json(exclude_unset=True)}"
            for name, settings in sets.items()
        )
        self.key = hashlib.sha256(f"{digest}{said}".encode()).hexdigest()[:_KEY]
        self.records = Records(records, self.key)

    @cached_property
    def sets(self) -> list[Development]:
        return prepare(self._data, self._sets)

    @cached_property
    def named(self) -> Sets:
        """Their questions, from beside the records where they are written there."""
        return kept(self.records.sets_file, Sets, lambda: sets_of(self.sets))

    def sizes(self) -> Sizes:
        """Questions and passages by data set."""
        return {
            name: {"questions": len(found.questions), "passages": found.passages}
            for name, found in self.named.items()
        }


def run_study(
    study: Study,
    base: Base,
    *,
    data: Path,
    runs: Path,
    records: Path | None = None,
    finished: bool = False,
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
        records: folder of the records of finished runs, of this machine or others; in that of the
            runs without.
        finished: compare the runs that have a record, and make none.
        budget: makes it smaller.
        command: what repeats it, for the result.
        on_progress: called with a phase, what is done of it and its size.

    Raises:
        DataError: a data set is missing or malformed.
        TrainingError: a variant's changes make no recipe, the variants' parameters differ, or no
            run is finished and none shall be made.
        MissingExtraError: the extra `studies` is not installed.
        KeyboardInterrupt: it was interrupted; what was done is kept.
    """
    over_seeds([0.0, 1.0])  # what is not installed is told now, not after hours
    base = (budget or Budget()).applied(base)
    plan = _plan(study, base, data, runs)
    _check_parameters(study, {name: run for (name, _), run in plan.items()})
    measures = _Measures(data, base.development, records or runs / "records")
    known = {
        key: outcome
        for key, run in plan.items()
        if (outcome := _recorded(study, key, run, measures)) is not None
    }
    if finished and not known:
        raise TrainingError(f"no run of the study {study.name!r} is finished: run it first")

    def work(key: tuple[str, int]) -> Outcome:
        on_progress(study.name, len(known), len(plan))
        outcome = _recorded(study, key, plan[key], measures)  # another process may have made it
        known[key] = outcome or _made(study, key, plan[key], measures, on_progress)
        on_progress(study.name, len(known), len(plan))
        return known[key]

    left = [] if finished else [key for key in plan if key not in known]
    outcomes = {**known, **share(left, lambda key: plan[key].folder, work)}
    planned = len({run.digest for run in plan.values()})
    return summarise(study, base, outcomes, measures.sizes(), command=command, planned=planned)


def _plan(study: Study, base: Base, data: Path, home: Path) -> dict[tuple[str, int], StudyRun]:
    """Every run of a study, seed by seed; nothing is begun where one of them cannot be."""
    recipes = {
        # What is not trained is the same for all seeds.
        (name, seed): study.recipe(base, name, seed=seed if v.trained else 0)
        for seed in base.seeds
        for name, v in study.variants.items()
    }
    for (name, seed), recipe in recipes.items():
        if (layers := study.variants[name].layers) is not None:
            cut = cut_backbone(recipe.backbone, layers, home / "backbones")
            recipes[name, seed] = recipe.model_copy(update={"backbone": str(cut)})
    digests = {r.sources: digest_of_data(data, r.sources) for r in recipes.values()}
    held_out = tuple(name for name, settings in base.development.items() if settings.held_out)
    watched = study.analyses.get("gradients", ())
    return {
        key: StudyRun(
            recipe=recipe,
            trained=study.variants[key[0]].trained,
            data=data,
            data_digest=digests[recipe.sources],
            home=home,
            held_out=held_out,
            watch=watch_gradients if key[0] in watched else None,
        )
        for key, recipe in recipes.items()
    }


def _wanted(study: Study, variant: str) -> list[str]:
    """The analyses of a variant."""
    return [name for name, variants in study.analyses.items() if variant in variants]


def _recorded(
    study: Study, key: tuple[str, int], run: StudyRun, measures: _Measures
) -> Outcome | None:
    """A run from its record, if it has one."""
    variant = key[0]
    tasks = study.variants[variant].measures
    found = measures.records.find(run.digest, tasks, _wanted(study, variant))
    if found is None:
        return None
    return Outcome(run.digest, found.done, found.by_question(measures.named), found.findings)


def _made(
    study: Study, key: tuple[str, int], run: StudyRun, measures: _Measures, on_progress: Progress
) -> Outcome:
    """A run trained, measured, looked into and recorded, each as far as it is not done yet."""
    variant, seed = key
    tasks = study.variants[variant].measures
    done = run.finish(on_progress=on_progress)
    subject = Subject(run, lambda: measures.sets, on_progress)

    def measured() -> Values:
        on_progress("measuring", 0, 1)
        values = measure(subject.model, measures.sets, tasks)
        on_progress("measuring", 1, 1)
        return values

    values = run.kept(f"values-{'-'.join(tasks)}-{measures.key}", Values, measured)
    findings = {}
    for name in _wanted(study, variant):
        found = ANALYSES[name]
        findings[name] = run.kept(f"{name}-{measures.key}", Findings, lambda f=found: f(subject))  # type: ignore[misc]
    record = Record(
        study=study.name,
        variant=variant,
        seed=seed,
        machine=machine(),
        versions=found_versions(),
        done=done,
        values={name: list(of_questions.values()) for name, of_questions in values.items()},
        findings=findings,
    )
    measures.records.write(run.digest, record)
    return Outcome(run.digest, done, record.by_question(measures.named), findings)


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
