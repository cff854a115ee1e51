"""What a new expert learns from, by kind: its task, its data in two parts, and its measures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unimoer_rag.data import JsonlRows, LabelledRows, TrainingSet, load_beir, open_rows
from unimoer_rag.errors import DataError
from unimoer_rag.model import Task, UniMoER
from unimoer_rag.training.extending.held_out import (
    Subset,
    agreement,
    majority_label,
    measure_classes,
    measure_ranks,
    measure_spans,
    split,
)
from unimoer_rag.training.objectives import kinds
from unimoer_rag.training.objectives.classification import ClassificationObjective
from unimoer_rag.training.objectives.objective import Objective
from unimoer_rag.training.objectives.ranking import RankingObjective
from unimoer_rag.training.objectives.reading import ReadingObjective

__all__ = ["Lesson", "open_lesson"]

# Held-out examples that are measured at most: more would take longer than they tell.
_MEASURED = 2000

Measures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a new task is, learns from and is measured on.

    Attributes:
        task: the new task.
        digest: identity of the data.
        settings: of the objective.
        held_out: how many examples are measured on.
        objective: what the task learns from, for a model that has it.
        measure: the task's measures on the held-out examples, in percent.
        baseline: measures of what is to be beaten, and what that is; asked of the model before it
            learns.
    """

    task: Task
    digest: str
    settings: kinds.ObjectiveConfig
    held_out: int
    objective: Callable[[UniMoER], Objective]
    measure: Callable[[UniMoER], Measures]
    baseline: Callable[[UniMoER], tuple[Measures, str]]


def open_lesson(
    kind: str,
    name: str,
    data: Path,
    *,
    share: float,
    seed: int,
    max_tokens: int,
    size: int,
    cache: Path,
) -> Lesson:
    """Open the data of a new task.

    Args:
        kind: "classification", "reading" or "ranking".
        name: of the task and its expert.
        data: see `unimoer_rag.training.extending.extend.extend`.
        share: of the data to hold out.
        seed: of the choice, and of the draws.
        max_tokens: of the task.
        size: examples a step.
        cache: folder of indices, by content.

    Raises:
        DataError: the data is missing or malformed, or too small to learn from.
    """
    common = {"task": name, "sources": (name,), "size": size}
    task = Task(name, "span", (name,), max_tokens=max_tokens)
    if kind == "reading":
        reading = kinds.Reading.model_validate(common)
        return _reading(task, data, reading, share=share, seed=seed)
    rows = JsonlRows(data, cache=cache)
    if kind == "classification":
        labels = kinds.Classification.model_validate(common)
        return _classification(task, rows, labels, share=share, seed=seed)
    groups = open_rows(name, rows, cache=cache)
    ranking = kinds.Ranking.model_validate(common)
    return _ranking(replace(task, head="late"), groups, ranking, rows.digest, share, seed)


def _classification(
    task: Task, rows: JsonlRows, settings: kinds.Classification, *, share: float, seed: int
) -> Lesson:
    examples = LabelledRows(rows)
    labels = tuple(examples.labels)
    if len(labels) < 2:
        raise DataError(
            f"{rows.place(0)} and the lines after it have the label {labels[0]!r} alone: expected "
            "at least two labels to tell apart"
        )
    learnt, held = split([example.text for example in examples], share, seed=seed)
    train, dev = Subset(examples, learnt), list(Subset(examples, held[:_MEASURED]))
    majority = majority_label(train)
    task = replace(task, head="class", labels=labels)
    return Lesson(
        task=task,
        digest=rows.digest,
        settings=settings,
        held_out=len(dev),
        objective=lambda model: ClassificationObjective(
            task.name, model, {task.name: train}, settings, seed=seed
        ),
        measure=lambda model: measure_classes(model, task.name, dev),
        baseline=lambda model: (
            agreement([example.label for example in dev], [majority] * len(dev)),
            f"always saying {majority!r}, the label seen most often",
        ),
    )


def _reading(task: Task, data: Path, settings: kinds.Reading, *, share: float, seed: int) -> Lesson:
    whole = load_beir(data, "train")
    readable = [q for q in whole.questions if q.answers and q.context in whole.corpus]
    if not readable:
        raise DataError(f"{data}: no question has answers and a context to read")
    # Questions about one passage stay together.
    learnt, held = split([q.context or "" for q in readable], share, seed=seed)
    train = replace(whole, questions=[readable[at] for at in learnt])
    dev = replace(whole, questions=[readable[at] for at in held[:_MEASURED]])
    parts = [(q.id, q.text, q.context, q.answers) for q in readable]

    def baseline(model: UniMoER) -> tuple[Measures, str]:
        if "read" not in model.tasks:
            return {}, ""
        return measure_spans(model, "read", dev), "the task 'read' of the checkpoint"

    return Lesson(
        task=task,
        digest=hashlib.sha256(repr(parts).encode(errors="replace")).hexdigest(),
        settings=settings,
        held_out=len(dev.questions),
        objective=lambda model: ReadingObjective(
            task.name, model, {task.name: settings.source(train)}, settings, seed=seed
        ),
        measure=lambda model: measure_spans(model, task.name, dev),
        baseline=baseline,
    )


def _ranking(
    task: Task,
    groups: TrainingSet,
    settings: kinds.Ranking,
    digest: str,
    share: float,
    seed: int,
) -> Lesson:
    usable = [at for at, group in enumerate(groups.groups) if group.negatives]
    if not usable:
        raise DataError(
            f"{groups.name}: no query has negatives: expected passages that do not answer beside "
            "the one that does"
        )
    queries = [groups.groups[at].query for at in usable]
    learnt, held = split(queries, share, seed=seed)
    train, dev = (
        replace(groups, groups=Subset(groups.groups, [usable[at] for at in part]))
        for part in (learnt, held[:_MEASURED])
    )
    return Lesson(
        task=task,
        digest=digest,
        settings=settings,
        held_out=len(dev.groups),
        objective=lambda model: RankingObjective(
            task.name, model, {task.name: train}, settings, seed=seed
        ),
        measure=lambda model: measure_ranks(model, task.name, dev),
        # A silent expert and an untrained head: late interaction of the backbone's own states.
        baseline=lambda model: (
            measure_ranks(model, task.name, dev),
            "the frozen backbone, before training",
        ),
    )
