"""What acts on a run between its backward passes and its updates: gradual unfreezing."""

from __future__ import annotations

from typing import Protocol

from unimoer_rag.model import UniMoER, parameters_by_name
from unimoer_rag.training.loop.unfreezing import GradualUnfreezing
from unimoer_rag.training.recipe import Recipe

__all__ = ["Schedule", "make_schedules"]


class Schedule(Protocol):
    """Asked at every step, the same on every process; what it does follows from the step alone."""

    def after_backward(self, step: int) -> None:
        """Gradients are there, of all processes, and not clipped yet.

        Args:
            step: 0 for the first.
        """


def make_schedules(model: UniMoER, recipe: Recipe) -> list[Schedule]:
    """The schedules that a recipe asks for."""
    if recipe.unfreezing is None:
        return []
    return [
        GradualUnfreezing(
            parameters_by_name(model),
            layers=model.n_layers,
            first=recipe.unfreezing.first,
            every=recipe.unfreezing.every,
        )
    ]
