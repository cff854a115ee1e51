"""Ranking: groups of one positive and hard negatives, scored by the task's head."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.data import Group, TrainingSet
from unimoer_rag.model import Row, UniMoER
from unimoer_rag.training.objectives import config
from unimoer_rag.training.objectives.order import Order
from unimoer_rag.training.objectives.terms import check_negatives, check_teacher, group_loss
from unimoer_rag.training.objectives.types import Draw, Losses

__all__ = ["RankingObjective"]


class RankingObjective:
    """Groups of several sources, by late interaction or joint encoding as the task's head has it.

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
        self._late = self._task.head == "late"
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
        rows: list[Row] = []
        for query, documents, _ in groups:
            if self._late:
                rows += self._model.rows.single([query], self._task, "query")
                rows += self._model.rows.single(documents, self._task, "document")
            else:
                rows += self._model.rows.pairs([(query, d) for d in documents], self._task)

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            head = self._model.heads[self._task.name]
            totals: dict[str, list[Tensor]] = {term.kind: [] for term in self._settings.losses}
            at = 0
            for _, documents, scores in groups:
                end = at + len(documents) + self._late
                logits = self._logits(head, outputs[at:end])
                with torch.no_grad():
                    still = self._logits(self._frozen_head, frozen[at:end]) if frozen else None
                at = end
                for term in self._settings.losses:
                    totals[term.kind].append(group_loss(term, logits, scores, still))
            # The mean over groups; terms of one kind add up.
            n = len(groups)
            return {f"{self.name}/{k}": torch.stack(v).sum() / n for k, v in totals.items()}

        return Draw(rows, anchored=self._anchored, loss=loss)

    def _group(
        self, chosen: TrainingSet, group: Group, rng: random.Random
    ) -> tuple[str, list[str], tuple[float, ...]]:
        """A query, its positive and negatives, and their scores where there is a teacher."""
        places, scores = group.drawn(self._settings.negatives, rng)
        return group.query, [chosen.texts[place] for place in places], scores

    def _logits(self, head: Any, outputs: list[Any]) -> Tensor:
        if self._late:
            logits: Tensor = head.compare(outputs[0], outputs[1:])
            return logits
        return torch.stack(outputs)
