"""Mean gradients of a recipe's objectives over many draws: single batches are too noisy to tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.data import BeirDataset, Sources
from unimoer_rag.errors import TrainingError
from unimoer_rag.model import UniMoER, parameters_by_name
from unimoer_rag.training.loop.forwards import Forwards, learning
from unimoer_rag.training.loop.processes import Processes
from unimoer_rag.training.losses import Routing
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Draw, Objective
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_model, make_objectives

__all__ = ["gradient_means"]

_Gradient = dict[str, Tensor]


def gradient_means(
    model: UniMoER,
    recipe: Recipe,
    draws: Sequence[Sequence[int]],
    *,
    data: Path,
    sets: Mapping[str, BeirDataset],
    cache: Path,
) -> dict[str, list[_Gradient]]:
    """Each objective's gradient at the experts, averaged over some draws. Nothing is updated.

    Args:
        model: of the recipe, as it is; without gradients.
        recipe: its objectives have no anchors.
        draws: parts of indices; a mean is taken over each.
        data: folder of the data sets.
        sets: those that are at hand.
        cache: of mined negatives.

    Returns:
        By objective and part: by parameter, float32 in its shape. What losses do not reach is left
        out.

    Raises:
        TrainingError: an objective is anchored to the frozen backbone.
    """
    # Mined by the model as it began, as the run's own negatives are.
    sources = Sources(data, recipe.data, given=sets, cache=cache)
    material = Material(recipe.mining, make_model(recipe), sources, cache=cache)
    forwards = Forwards(
        model,
        Routing(balance=0.0),
        token_budget=recipe.optimizer.token_budget,
        processes=Processes(),
    )
    return {
        objective.name: [_mean(model, objective, part, forwards) for part in draws]
        for objective in make_objectives(recipe, model, material)
    }


def _mean(
    model: UniMoER, objective: Objective, draws: Iterable[int], forwards: Forwards
) -> _Gradient:
    n = 0
    with learning(model), torch.enable_grad():
        for index in draws:
            draw = objective.draw(index)
            if draw.anchored:
                raise TrainingError(
                    f"objectives.{objective.name}: an anchor holds it near the frozen backbone; "
                    "expected losses of labels alone where gradients are compared"
                )
            losses = draw.loss(_outputs(draw, forwards), [])
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            n += 1
    experts = {n: p for n, p in parameters_by_name(model).items() if n.startswith("experts.")}
    found = {name: p.grad / n for name, p in experts.items() if p.grad is not None}
    for parameter in model.parameters():
        parameter.grad = None
    return found


def _outputs(draw: Draw, forwards: Forwards) -> list[Any]:
    """What the rows of a draw give, in order."""
    outputs: list[Any] = [None] * len(draw.rows)
    for at in forwards.plan(draw.rows):
        done = forwards.learn([draw.rows[i] for i in at], share=1.0)
        for i, output in zip(at, done.outputs, strict=True):
            outputs[i] = output
    return outputs
