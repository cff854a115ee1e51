"""The losses of a group by their terms in a recipe, and what each needs of the data."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from unimoer_rag.data import TrainingSet, has_negatives
from unimoer_rag.errors import DataError
from unimoer_rag.training import losses
from unimoer_rag.training.objectives import config

__all__ = ["check_negatives", "check_teacher", "group_loss"]

_TAUGHT = (config.MarginMse, config.Kl, config.Cprd)


def group_loss(
    term: config.GroupTerm, logits: Tensor, scores: tuple[float, ...], frozen: Tensor | None
) -> Tensor:
    """One term's loss of one group, weighted; the positive comes first.

    Args:
        term: of the recipe.
        logits: `[n]`, with gradient.
        scores: a teacher's, or graded labels; empty where the group has none.
        frozen: the frozen backbone's logits `[n]`, for `Anchor`.
    """
    if isinstance(term, config.Anchor):
        assert frozen is not None
        return term.weight * losses.kl(logits, frozen, temperature=term.temperature)
    if isinstance(term, config.Lce):
        return term.weight * losses.lce(logits)
    graded = torch.zeros_like(logits)
    graded[0] = 1.0
    if isinstance(term, config.Bce):
        return term.weight * losses.bce(logits, graded)
    teacher = torch.tensor(scores, dtype=logits.dtype, device=logits.device) if scores else graded
    if isinstance(term, config.RankNet):
        return term.weight * losses.ranknet(logits / term.temperature, teacher)
    if isinstance(term, config.Lambda):
        return term.weight * losses.lambda_loss(logits, graded, sigma=term.sigma, top=term.top)
    if isinstance(term, config.MarginMse):
        return term.weight * losses.margin_mse(logits, teacher)
    if isinstance(term, config.Kl):
        return term.weight * losses.kl(logits, teacher, temperature=term.temperature)
    threshold = -math.inf if term.threshold is None else term.threshold
    return term.weight * losses.cprd(logits, teacher, threshold=threshold)


def check_teacher(
    name: str,
    terms: Iterable[config.GroupTerm | config.ContrastiveTerm],
    sets: Iterable[TrainingSet],
) -> None:
    """Refuse losses that learn from a teacher where a data set has no teacher's scores.

    Raises:
        DataError: names the objective, the loss and the data set.
    """
    taught = [term.kind for term in terms if isinstance(term, _TAUGHT)]
    for source in sets:
        if taught and len(source.groups) and not source.groups[0].scores:
            raise DataError(
                f"objectives.{name}: the loss {taught[0]!r} learns from a teacher, and "
                f"{source.name} has no scores: use a data set of scored groups, or mining.teacher"
            )


def check_negatives(name: str, sets: Iterable[TrainingSet]) -> None:
    """Refuse to rank where there is nothing to rank: a positive alone teaches nothing.

    Raises:
        DataError: names the objective and the data set.
    """
    for source in sets:
        if not has_negatives(source):
            raise DataError(
                f"objectives.{name}: no query of {source.name} has a passage that does not answer, "
                "to rank below the one that does: add negatives, or mine: true to the source"
            )
