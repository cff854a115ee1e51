"""A training run from a recipe: model, data, mined negatives, objectives, trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from unimoer_rag.errors import TrainingError
from unimoer_rag.model.checkpoint import parameters_by_name
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.data import ReadSource, load_sources
from unimoer_rag.training.folder import RunFolder
from unimoer_rag.training.mining import Mined, mine
from unimoer_rag.training.objectives import (
    ContrastiveObjective,
    Objective,
    RankingObjective,
    ReadingObjective,
)
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.trainer import StepReport, Trainer

__all__ = ["make_model", "start_tensors", "train"]

Progress = Callable[[str, int, int], None]


def make_model(recipe: Recipe) -> UniMoER:
    """The untrained model of a recipe, seeded."""
    torch.manual_seed(recipe.seed)
    return UniMoER.from_backbone(
        recipe.backbone,
        dtype=recipe.dtype,
        attention=recipe.attention,
        experts={name: expert.spec() for name, expert in recipe.experts.items()},
        tasks=[task.task() for task in recipe.tasks],
        router=recipe.router,
        gate=recipe.gate,
        targets=recipe.targets,
    )


def start_tensors(model: UniMoER, checkpoint: str) -> dict[str, Tensor]:
    """What a model can take over from a checkpoint: its tensors of the same names.

    Args:
        model: of the same backbone.
        checkpoint: a name or folder, as for `UniMoER.from_pretrained`.

    Raises:
        CheckpointError: it is missing or damaged.
        TrainingError: its backbone is another, a tensor has another shape there, or none has a
            name of the model's.
    """
    other = UniMoER.from_pretrained(checkpoint)
    if other.backbone_name != model.backbone_name:
        raise TrainingError(
            f"start: {checkpoint} is on the backbone {other.backbone_name}, the recipe on "
            f"{model.backbone_name}: start from a checkpoint of the same backbone"
        )
    own, learnt = parameters_by_name(model), parameters_by_name(other)
    common = {name: learnt[name].detach() for name in own if name in learnt}
    if not common:
        raise TrainingError(f"start: {checkpoint} has no expert or head of the recipe")
    for name, tensor in common.items():
        if own[name].shape != tensor.shape:
            raise TrainingError(
                f"start: {name} has the shape {tuple(tensor.shape)} in {checkpoint}, the recipe "
                f"makes it {tuple(own[name].shape)}: give the expert the same rank and the task "
                "the same experts, or another name"
            )
    return common


def train(
    recipe: Recipe,
    *,
    data: Path,
    output: Path,
    on_progress: Progress = lambda what, done, total: None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    validate: Callable[[UniMoER], dict[str, float]] | None = None,
) -> bool:
    """Train a model, resuming the run in `output` if there is one.

    Args:
        recipe: what to do.
        data: the folder that holds the recipe's data sets.
        output: the run's folder.
        on_progress: called with a phase, what is done of it and its size.
        on_step: called with each step's report.
        validate: measures the model every `validate_every` steps, given to the log.

    Returns:
        True when the recipe's last step was reached, False when interrupted.

    Raises:
        DataError: a data set is missing or malformed.
        CheckpointError: the checkpoint to start from cannot be used.
        TrainingError: that checkpoint does not fit the recipe, the folder holds another run, or
            the loss is no longer finite.
    """
    folder = RunFolder(output, recipe)  # first: mining takes minutes
    names = sorted({*recipe.mining.sources, *recipe.reading.sources})
    sources = load_sources(data, names)
    model = make_model(recipe)
    start: dict[str, Tensor] = {}
    if recipe.start is not None and not folder.begun:
        start = start_tensors(model, recipe.start)
    mined: dict[str, Mined] = {}
    if recipe.ranking.groups or recipe.embedding.queries:
        for name in recipe.mining.sources:
            mined[name] = mine(
                model,
                sources[name],
                recipe.mining,
                seed=recipe.seed,
                cache=folder.mined,
                progress=lambda done, total, name=name: on_progress(  # type: ignore[misc]
                    f"mining {name}", done, total
                ),
            )
    # After mining, which is the frozen backbone's: a start and a resumed run bring experts.
    named = parameters_by_name(model)
    with torch.no_grad():
        for name, tensor in start.items():
            named[name].copy_(tensor)
    trainer = Trainer(model, recipe, folder=output)
    objectives: list[Objective] = []
    if recipe.reading.examples:
        objectives.append(
            ReadingObjective(
                model,
                [
                    ReadSource(
                        sources[name],
                        unanswerable=recipe.reading.unanswerable,
                        crop=recipe.reading.crop,
                        crop_words=recipe.reading.crop_words,
                    )
                    for name in recipe.reading.sources
                ],
                recipe.reading,
                recipe.seed,
            )
        )
    if recipe.ranking.groups:
        objectives.append(RankingObjective(model, mined, recipe.ranking, recipe.seed))
    if recipe.embedding.queries:
        objectives.append(ContrastiveObjective(model, mined, recipe.embedding, recipe.seed))
    return trainer.run(
        objectives,
        on_step=on_step,
        on_validate=(lambda step: validate(model)) if validate is not None else None,
    )
