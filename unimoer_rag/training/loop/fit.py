"""Whether a recipe asks of a model what it does; told before anything is mined."""

from __future__ import annotations

from unimoer_rag.errors import TrainingError
from unimoer_rag.model import UniMoER
from unimoer_rag.training.objectives import config
from unimoer_rag.training.recipe import Recipe

__all__ = ["check_fit"]

# Routers whose decisions have no logits over experts.
_WITHOUT_LOGITS = ("switch", "similarity", "rank-wise")
# Those that have no logits at all.
_WITHOUT_NOISE = ("switch", "similarity")


def check_fit(model: UniMoER, recipe: Recipe) -> None:
    """Refuse what a recipe asks for and its model would not do.

    Args:
        model: of the recipe; without weights will do.
        recipe: validated already.

    Raises:
        TrainingError: the gate or router has not what the routing's losses or noise act on, or an
            embedding shall be cut to more dimensions than it has; names the key.
    """
    routing = recipe.routing
    if routing.sparsity and model.spec.gate != "sparsegen":
        raise TrainingError(
            f"routing.sparsity: the gate {model.spec.gate!r} predicts no sparsity, expected "
            "the gate 'sparsegen' or no sparsity loss"
        )
    if (routing.sparsity or routing.dynmole) and model.spec.router in _WITHOUT_LOGITS:
        raise TrainingError(
            f"routing: the router {model.spec.router!r} has no logits over experts, expected "
            "another router, or neither sparsity nor dynmole"
        )
    if routing.logit_noise and model.spec.router in _WITHOUT_NOISE:
        raise TrainingError(
            f"routing.logit_noise: the router {model.spec.router!r} has no logits to put noise on, "
            "expected another router, or no noise"
        )
    for name, objective in recipe.objectives.items():
        if isinstance(objective, config.Contrastive):
            most = max(objective.dimensions, default=0)
            if most > model.dimension:
                raise TrainingError(
                    f"objectives.{name}.dimensions: {most} is more than the embedding's "
                    f"{model.dimension}, expected smaller sizes"
                )
