"""Post-hoc experts: a new task for a finished checkpoint, which leaves the old ones as they are.

The new task has an expert and a head of its own and names no other. Only these learn: the router
stays, and gives the only expert of a task the weight 1 (one that weighs ranks keeps the weights
that the new ranks began with). What the old tasks compute has no part in it, so their outputs stay
bit for bit the same. That is checked before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from unimoer_rag.errors import InputError, TrainingError
from unimoer_rag.model import (
    CONFIG,
    ExpertConfig,
    ExpertSpec,
    Output,
    TaskConfig,
    UniMoER,
    load_own,
    probe_rows,
    tensors,
)
from unimoer_rag.training.extending.lessons import Lesson, open_lesson
from unimoer_rag.training.loop.trainer import StepReport, Trainer
from unimoer_rag.training.recipe import Optimizer, Recipe, Routing

__all__ = ["Addition", "Extended", "Kind", "changed_tasks", "extend", "task_outputs"]

Kind = Literal["classification", "reading", "ranking"]

# What a recipe has other meanings for: a rate of all that is called so, a group of losses.
_RESERVED = ("default", "router", "heads", "routing")

# Examples a step, by kind: a ranking group is nine texts, a reading example a passage.
_SIZES: Mapping[str, int] = {"classification": 16, "reading": 8, "ranking": 4}


@dataclass(frozen=True, slots=True)
class Addition:
    """What to add to a checkpoint, and how to train it.

    Attributes:
        name: of the new expert and of its task.
        kind: what it learns.
        rank: of the expert; its alpha is twice that.
        steps: of training.
        size: examples a step; by kind where None.
        rate: peak learning rate of expert and head.
        dev_share: share of the data held out, to measure on; above 0 and below 1.
        max_tokens: texts are cut to this length.
        seed: of initialisation, held-out share and draws.

    Raises:
        InputError: a field has a value that cannot be used.
    """

    name: str
    kind: Kind = "classification"
    rank: int = 8
    steps: int = 500
    size: int | None = None
    rate: float = 1e-3
    dev_share: float = 0.1
    max_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in _SIZES:
            raise InputError(f"unknown kind {self.kind!r}: expected one of {', '.join(_SIZES)}")
        if self.name in _RESERVED:
            raise InputError(
                f"{self.name!r} cannot be the name of an expert to train: expected another than "
                f"{', '.join(_RESERVED)}"
            )
        if not 0 < self.dev_share < 1:
            raise InputError(f"dev_share is {self.dev_share}: expected a share between 0 and 1")
        if self.steps < 1 or (self.size is not None and self.size < 1) or not _usable(self.rate):
            raise InputError(
                f"steps {self.steps}, size {self.size}, rate {self.rate}: expected numbers above 0"
            )


def _usable(rate: float) -> bool:
    return 0 < rate < float("inf")  # NaN fails this too


@dataclass(frozen=True, slots=True)
class Extended:
    """What came of it.

    Attributes:
        finished: False where the run was interrupted; run again, it goes on.
        held_out: how many examples were measured on.
        measures: in percent, by name.
        baseline: the same measures of what is to be beaten.
        against: what that is.
        unchanged: the old tasks, whose outputs were found bit-identical.
    """

    finished: bool
    held_out: int = 0
    measures: Mapping[str, float] | None = None
    baseline: Mapping[str, float] | None = None
    against: str = ""
    unchanged: tuple[str, ...] = ()


def extend(
    addition: Addition,
    *,
    checkpoint: str,
    data: Path,
    output: Path,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> Extended:
    """Train a new expert with its head, all else frozen, and write the larger checkpoint.

    Args:
        addition: what to add.
        checkpoint: as for `UniMoER.from_pretrained`; it is not changed.
        data: for "classification" JSONL with text (and pair) and label; for "ranking" JSONL with
            query, positives and negatives; for "reading" a folder in the BEIR layout whose
            questions have answers and a context, with the split `train`.
        output: folder of the new checkpoint. The run's own folder is `run` inside it; a run that
            is there already is resumed.
        on_step: called with each step's report.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        DataError: the data is missing or malformed, or has too few examples or labels.
        InputError: the checkpoint has an expert or task of that name.
        TrainingError: the folder holds another run or checkpoint, the loss is no longer finite, or
            an old task's output changed.
    """
    run = output / "run"
    if (output / CONFIG).exists() and not run.is_dir():
        raise TrainingError(f"{output} holds a checkpoint already: choose another output folder")
    model = load_own(checkpoint)
    before = task_outputs(model)
    lesson = open_lesson(
        addition.kind,
        addition.name,
        data,
        share=addition.dev_share,
        seed=addition.seed,
        max_tokens=addition.max_tokens,
        size=addition.size or _SIZES[addition.kind],
        cache=run / "data",
    )
    torch.manual_seed(addition.seed)
    spec = ExpertSpec(rank=addition.rank, alpha=2 * addition.rank)
    model.add_expert(addition.name, spec)
    model.add_task(lesson.task)
    baseline, against = lesson.baseline(model)
    trainer = Trainer(model, _recipe(addition, model, spec, lesson), folder=run)
    if not trainer.run([lesson.objective(model)], on_step=on_step):
        return Extended(finished=False)
    model.eval().pack()  # what is checked and measured is what the file will hold
    changed = changed_tasks(before, task_outputs(model))
    if changed:
        raise TrainingError(
            f"training {addition.name!r} changed what {', '.join(changed)} give: nothing was "
            f"written to {output}; please report this with the folder {run}"
        )
    measures = lesson.measure(model)
    model.save_pretrained(output)
    return Extended(
        finished=True,
        held_out=lesson.held_out,
        measures=measures,
        baseline=baseline,
        against=against,
        unchanged=tuple(before),
    )


def _recipe(addition: Addition, model: UniMoER, spec: ExpertSpec, lesson: Lesson) -> Recipe:
    """What the trainer and its folder go by: where any of it differs, no run is resumed.

    The held-out share is part of it, since a run with another has learnt what would be held out.
    """
    rates = {"default": 0.0, addition.name: addition.rate, f"heads.{addition.name}": addition.rate}
    return Recipe(
        name=f"add-{addition.name}",
        description=(
            f"checkpoint {model.checkpoint_digest}, data {lesson.digest}, "
            f"held out {addition.dev_share!r}"
        ),
        backbone=model.backbone_name,
        seed=addition.seed,
        experts={addition.name: ExpertConfig.of(spec)},
        tasks=(TaskConfig(**asdict(lesson.task)),),
        objectives={addition.name: lesson.settings},
        routing=Routing(balance=0.0),
        optimizer=Optimizer(steps=addition.steps, learning_rate=rates),
    )


# -- what must not change -------------------------------------------------------------------


def task_outputs(model: UniMoER) -> dict[str, list[Tensor]]:
    """What each task's head gives for a few texts: every number of it, by task."""
    return {
        name: [t for output in model.run(probe_rows(model, task)) for t in _tensors(output)]
        for name, task in model.tasks.items()
    }


def changed_tasks(
    before: Mapping[str, list[Tensor]], after: Mapping[str, list[Tensor]]
) -> list[str]:
    """The tasks whose outputs are not bit for bit what they were."""
    return [
        name
        for name, old in before.items()
        if len(old) != len(after[name])
        or not all(torch.equal(a, b) for a, b in zip(old, after[name], strict=True))
    ]


def _tensors(output: Output) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else [*tensors(output).values()]
