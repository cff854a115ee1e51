"""Ranking: groups of one positive and hard negatives, scored by the task's head."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, SerializeAsAny

from unimoer_rag.data import Sources
from unimoer_rag.model import Row, ScoringHead, TaskConfig, UniMoER
from unimoer_rag.training.losses import Anchor, Bce, Lce
from unimoer_rag.training.losses.base import Candidates, GroupLoss, one_of
from unimoer_rag.training.objectives.groups import (
    GroupObjective,
    GroupSettings,
    check_negatives,
    weighted,
)
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Draw, Losses, Objective

__all__ = ["Ranking", "RankingObjective"]


class Ranking(GroupSettings):
    """Groups of one positive and mined negatives, scored by the task's head."""

    kind: Literal["ranking"] = "ranking"
    negatives: int = Field(default=7, ge=1, description="mined negatives a group")
    losses: tuple[Annotated[SerializeAsAny[GroupLoss], one_of(GroupLoss)], ...] = Field(
        default=(Lce(weight=0.5), Bce(weight=0.1), Anchor(weight=2.0)),
        min_length=1,
        description="terms of the sum, by kind",
    )

    teaches: ClassVar[tuple[type, ...]] = (ScoringHead,)

    def make(self, name: str, model: UniMoER, material: Material, *, seed: int) -> Objective:
        """See `ObjectiveSettings`."""
        groups = material.groups(self.sources)
        return RankingObjective(name, model, groups, self, seed=seed, kept=material.kept)

    def check(
        self, name: str, task: TaskConfig, sources: Sources, source: str, *, taught: bool
    ) -> None:
        """See `ObjectiveSettings`."""
        if not sources.is_mined(source):
            check_negatives(name, [sources.groups(source)])
        super().check(name, task, sources, source, taught=taught)


class RankingObjective(GroupObjective[Ranking]):
    """Groups of several sources, as the task's head scores them.

    Where the task's experts read queries alone, documents stay as they are: each is run once.

    Raises:
        DataError: a data set has no negatives, or not the teacher's scores that a loss needs.
    """

    def _prepare(self) -> None:
        check_negatives(self.name, self._sets.values())
        super()._prepare()
        # The head as it starts: the frozen scores to stay near are judged by it throughout.
        self._frozen_head: Any = self._model.new_head(self._task)

    def draw(self, index: int) -> Draw:
        """`size` groups of the data set whose turn it is."""
        chosen, items, rng = self._drawn(index)
        rows: list[Row] = []
        ends, scores = [0], []
        still: list[list[Any]] = []  # documents that are not run with the query
        for item in items:
            group = chosen.groups[item]
            places, taught = group.drawn(
                self._settings.negatives, rng, any_positive=self._settings.any_positive
            )
            documents = [chosen.texts[place] for place in places]
            if self._task.queries_only:
                rows += self._model.rows.single([group.query], self._task, "query")
                still.append(self._documents.of(self._task, documents))
            else:
                rows += self._model.rows.compared(group.query, documents, self._task)
                still.append([])
            ends.append(len(rows))
            scores.append(taught)

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            head: Any = self._model.heads[self._task.name]
            groups = []
            for at, taught in enumerate(scores):
                own = slice(ends[at], ends[at + 1])
                with torch.no_grad():
                    held = [*frozen[own], *still[at]]
                    before = self._frozen_head.logits(held) if frozen else None
                learnt = head.logits([*outputs[own], *still[at]])
                groups.append(Candidates(learnt, taught, before))
            return weighted(
                self.name,
                self._settings.losses,
                lambda term: torch.stack([term.loss(group) for group in groups]).mean(),
            )

        return Draw(rows, anchored=self._settings.anchored, loss=loss)
