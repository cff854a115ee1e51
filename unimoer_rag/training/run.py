"""A training run from a recipe: model, data, mined negatives, objectives, trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from unimoer_rag.data import BeirDataset, Sources
from unimoer_rag.errors import CheckpointError, TrainingError
from unimoer_rag.model import UniMoER, backbone_of, canonical, parameters_by_name
from unimoer_rag.progress import Progress, silent
from unimoer_rag.training.loop.fit import check_fit
from unimoer_rag.training.loop.folder import RunFolder
from unimoer_rag.training.loop.processes import Processes
from unimoer_rag.training.loop.schedules import make_schedules
from unimoer_rag.training.loop.tracking import Track
from unimoer_rag.training.loop.trainer import StepReport, Trainer
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Objective
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.source_pilots import fit_source_pilots

__all__ = ["check_start", "make_model", "make_objectives", "start_tensors", "train"]


def make_model(recipe: Recipe) -> UniMoER:
    """The untrained model of a recipe, seeded."""
    torch.manual_seed(recipe.seed)
    return UniMoER.from_backbone(
        recipe.backbone,
        dtype=recipe.dtype,
        attention=recipe.attention,
        spec=recipe.spec(),
    )


def make_objectives(recipe: Recipe, model: UniMoER, material: Material) -> list[Objective]:
    """The objectives of a recipe, in its order.

    Raises:
        DataError: a data set is missing or malformed, or lacks what an objective needs of it.
    """
    return [
        settings.make(name, model, material, seed=recipe.seed)
        for name, settings in recipe.objectives.items()
    ]


def start_tensors(model: UniMoER, checkpoint: str) -> dict[str, Tensor]:
    """What a model can take over from a checkpoint: its tensors of the same names.

    Args:
        model: of the same backbone.
        checkpoint: a name or folder, as for `UniMoER.from_pretrained`.

    Raises:
        CheckpointError: it is missing or damaged.
        TrainingError: its backbone is another, a tensor has another shape or an expert another
            scale there, or none has a name of the model's.
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
    for name in {name.split(".")[1] for name in common if name.startswith("experts.")}:
        if model.experts[name].alpha != other.experts[name].alpha:
            raise TrainingError(
                f"start: the expert {name} has lora_alpha {other.experts[name].alpha:g} in "
                f"{checkpoint}, the recipe says {model.experts[name].alpha:g}, which would make "
                "what it learnt count otherwise: give it the same, or another name"
            )
    return common


def check_start(recipe: Recipe) -> None:
    """Refuse a checkpoint to start from on another backbone, by its configuration alone.

    Loading both and mining take a minute, and an output folder would be begun. A start that is
    gone is no matter here: a run that is gone on with needs it no more.

    Raises:
        TrainingError: it is on another backbone.
    """
    if recipe.start is None:
        return
    base = None
    with suppress(CheckpointError):
        base = backbone_of(recipe.start)
    if base is not None and base != canonical(recipe.backbone) and _elsewhere(base, recipe):
        raise TrainingError(
            f"start: {recipe.start} is on the backbone {base}, the recipe on {recipe.backbone}: "
            "begin from untrained experts (--set start=null), or from a checkpoint of the same "
            "backbone (--start)"
        )


def _elsewhere(base: str, recipe: Recipe) -> bool:
    """Whether a backbone is in another place than the recipe's."""
    places = [Path(name).expanduser().absolute() for name in (base, recipe.backbone)]
    return places[0].resolve() != places[1].resolve()


def train(
    recipe: Recipe,
    *,
    data: Path | None = None,
    output: Path,
    sets: Mapping[str, BeirDataset] = {},
    cache: Path | None = None,
    on_progress: Progress = silent,
    on_step: Callable[[StepReport], None] = lambda report: None,
    validate: Callable[[UniMoER], dict[str, float]] | None = None,
    track: Track | None = None,
) -> bool:
    """Train a model, resuming the run in `output` if there is one.

    Args:
        recipe: what to do.
        data: the folder that holds the recipe's data sets.
        output: the run's folder.
        sets: data sets that are at hand already, by name; others come from `data`.
        cache: folder of mined negatives and indices, to share between runs; the run's own without.
        on_progress: called with a phase, what is done of it and its size.
        on_step: called with each step's report.
        validate: measures the model every `validate_every` steps, given to the log.
        track: where every step's numbers are sent besides the folder, if anywhere.

    Returns:
        True when the recipe's last step was reached, False when interrupted.

    Raises:
        DataError: a data set is missing or malformed, or lacks what an objective needs.
        CheckpointError: the checkpoint to start from cannot be used.
        TrainingError: that checkpoint does not fit the recipe, the folder holds another run, or
            the loss is no longer finite.
    """
    check_start(recipe)
    processes = Processes()  # before the model: it says which device is this process's
    with processes.main_first():
        folder = RunFolder(output, recipe, writes=processes.main)  # first: mining takes minutes
    missing = [name for name in recipe.sources if name not in sets]
    if missing and data is None:
        raise TrainingError(f"no data folder: expected one that holds {', '.join(missing)}")
    kept = cache or folder.mined
    sources = Sources(data or Path(), recipe.data, given=sets, cache=kept)
    model = make_model(recipe)
    check_fit(model, recipe)  # before mining too
    by_frozen = recipe.mining.searcher == "frozen"
    start: dict[str, Tensor] = {}
    if recipe.start is not None and not (folder.begun and by_frozen):
        start = start_tensors(model, recipe.start)
    if not by_frozen:
        _take_over(model, start)
    material = Material(recipe.mining, model, sources, cache=kept, on_progress=on_progress)
    with processes.main_first():  # the others find what it has mined
        if recipe.router == "similarity":  # before mining, which asks the router too
            fit_source_pilots(model, recipe, sources)
        objectives = make_objectives(recipe, model, material)
    _take_over(model, start)
    schedules = make_schedules(model, recipe)
    trainer = Trainer(
        model, recipe, folder=output, schedules=schedules, processes=processes, track=track
    )
    return trainer.run(
        objectives,
        on_step=on_step,
        on_validate=(lambda step: validate(model)) if validate is not None else None,
    )


def _take_over(model: UniMoER, tensors: Mapping[str, Tensor]) -> None:
    named = parameters_by_name(model)
    with torch.no_grad():
        for name, tensor in tensors.items():
            named[name].copy_(tensor)
