"""What acts on a run around its steps: gradual unfreezing, growth of ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from unimoer_rag.model import UniMoER, parameters_by_name
from unimoer_rag.training.loop.growth import RankGrowth
from unimoer_rag.training.loop.unfreezing import GradualUnfreezing
from unimoer_rag.training.recipe import Recipe

__all__ = ["Schedule", "make_schedules"]


class Schedule(Protocol):
    """Asked around every step, the same on every process."""

    def before_step(self, step: int) -> None:
        """Before anything is drawn; 0 for the first step."""

    def after_backward(self, step: int, routing: Mapping[str, Tensor]) -> None:
        """Gradients are there, of all processes, and not clipped yet.

        Args:
            step: 0 for the first.
            routing: mean weight of each expert over the step's rows, float32 `[layers]`.
        """

    def after_update(self, step: int) -> None:
        """The step is over; where no objective had its turn, without a backward."""

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Bring back a state."""


def make_schedules(model: UniMoER, recipe: Recipe) -> list[Schedule]:
    """The schedules that a recipe asks for.

    Raises:
        TrainingError: its growth of ranks does not fit the experts or the steps.
    """
    named = parameters_by_name(model)
    rates = recipe.optimizer.learning_rate
    schedules: list[Schedule] = []
    # Growth first: how salient a rank is does not depend on which layers learn already.
    if recipe.growth is not None:
        schedules.append(
            RankGrowth(
                named,
                experts=[e for e in model.experts if rates.get(e, rates["default"])],
                initial=recipe.growth.initial,
                budget=recipe.growth.budget,
                every=recipe.growth.every,
                steps=recipe.optimizer.steps,
            )
        )
    if recipe.unfreezing is not None:
        schedules.append(
            GradualUnfreezing(
                named,
                layers=model.n_layers,
                first=recipe.unfreezing.first,
                every=recipe.unfreezing.every,
            )
        )
    return schedules
