"""Whether a recipe asks of a model what it does; told before anything is mined."""

from __future__ import annotations

from unimoer_rag.errors import TrainingError
from unimoer_rag.model import UniMoER
from unimoer_rag.training.objectives import kinds
from unimoer_rag.training.recipe import Recipe

__all__ = ["check_fit"]


def check_fit(model: UniMoER, recipe: Recipe) -> None:
    """Refuse what a recipe asks for and its model would not do.

    Args:
        model: of the recipe; without weights will do.
        recipe: validated already.

    Raises:
        TrainingError: an embedding shall be cut to more dimensions than it has; names the key.
    """
    for name, objective in recipe.objectives.items():
        if isinstance(objective, kinds.Contrastive):
            most = max(objective.dimensions, default=0)
            if most > model.dimension:
                raise TrainingError(
                    f"objectives.{name}.dimensions: {most} is more than the embedding's "
                    f"{model.dimension}, expected smaller sizes"
                )
