"""Ranking: groups of one positive and hard negatives, scored by the task's head."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.model import UniMoER
from unimoer_rag.training.data.types import Group, TrainingSet
from unimoer_rag.training.objectives import config
from unimoer_rag.training.objectives.order import Order
from unimoer_rag.training.objectives.terms import check_negatives, check_teacher, group_loss
from unimoer_rag.training.objectives.types import Draw, Losses

__all__ = ["RankingObjective"]


class RankingObjective:
    """Groups of several sources, as the task's head scores them.

    Args:
        name: of the objective in its recipe.
        model: what learns.
        sets: where groups come from.
        settings: of the recipe.
        seed: of the draws.

    Raises:
        DataError: a data set has no negatives, or not the teacher's scores that a loss needs.
    """

    def __init__(
        self,
        name: str,
        model: UniMoER,
        sets: Mapping[str, TrainingSet],
        settings: config.Ranking,
        *,
        seed: int,
    ) -> None:
        check_negatives(name, sets.values())
        check_teacher(name, settings.losses, sets.values())
        self.name, self.every = name, settings.every
        self._model, self._sets, self._settings, self._seed = model, sets, settings, seed
        self._task = model.task(settings.task)
        self._anchored = any(isinstance(term, config.Anchor) for term in settings.losses)
        # The head as it starts: the frozen scores to stay near are judged by it throughout.
        self._frozen_head: Any = model.new_head(self._task)
        self._order = Order.of_groups(settings, sets, seed=f"{name}-{seed}")

    def draw(self, index: int) -> Draw:
        """`size` groups of the data set whose turn it is."""
        rng = random.Random(f"{self.name}-{self._seed}-{index}")
        source, items = self._order.draw(index)
        chosen = self._sets[source]
        groups = [self._group(chosen, chosen.groups[item], rng) for item in items]
        each = [self._model.rows.compared(q, documents, self._task) for q, documents, _ in groups]

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            head: Any = self._model.heads[self._task.name]
            totals: dict[str, list[Tensor]] = {term.kind: [] for term in self._settings.losses}
            at = 0
            for rows, (_, _, scores) in zip(each, groups, strict=True):
                end = at + len(rows)
                logits = head.logits(outputs[at:end])
                with torch.no_grad():
                    still = self._frozen_head.logits(frozen[at:end]) if frozen else None
                at = end
                for term in self._settings.losses:
                    totals[term.kind].append(group_loss(term, logits, scores, still))
            # The mean over groups; terms of one kind add up.
            n = len(groups)
            return {f"{self.name}/{k}": torch.stack(v).sum() / n for k, v in totals.items()}

        return Draw(list(chain(*each)), anchored=self._anchored, loss=loss)

    def _group(
        self, chosen: TrainingSet, group: Group, rng: random.Random
    ) -> tuple[str, list[str], tuple[float, ...]]:
        """A query, its positive and negatives, and their scores where there is a teacher."""
        places, scores = group.drawn(self._settings.negatives, rng)
        return group.query, [chosen.texts[place] for place in places], scores
