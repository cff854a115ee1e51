"""Embeddings by contrast: each query's passage against those of the others and mined ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, SerializeAsAny, model_validator
from torch import Tensor

from unimoer_rag.model import EmbeddingHead, LateScoring, UniMoER
from unimoer_rag.training.losses import Anchor, InfoNce
from unimoer_rag.training.losses.base import Loss, VectorBatch, one_of
from unimoer_rag.training.objectives.groups import GroupObjective, GroupSettings, weighted
from unimoer_rag.training.objectives.kept import vector_of
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Draw, Losses, Objective

__all__ = ["Contrastive", "ContrastiveObjective"]


class Contrastive(GroupSettings):
    """Embeddings by contrast: queries of one data set, in-batch and mined negatives.

    Of a task that ranks by late interaction it teaches text vectors, and token states by
    `late-nce`: one pass of a text for both.
    """

    kind: Literal["contrastive"] = "contrastive"
    negatives: int = Field(default=1, ge=0, description="mined negatives a query")
    temperature: float = Field(default=0.05, gt=0, description="divides every cosine")
    losses: tuple[Annotated[SerializeAsAny[Loss], one_of(Loss)], ...] = Field(
        default=(InfoNce(weight=0.2), Anchor(weight=2.0)),
        min_length=1,
        description="terms of the sum, by kind",
    )
    dimensions: dict[int, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Matryoshka: weight of the contrast at each smaller size"
    )

    teaches: ClassVar[tuple[type, ...]] = (EmbeddingHead, LateScoring)

    @model_validator(mode="after")
    def _cut_contrast(self) -> Self:
        if any(size < 1 for size in self.dimensions):
            raise ValueError(f"dimensions: {min(self.dimensions)}, expected sizes from 1 on")
        if self.dimensions and not any(isinstance(term, InfoNce) for term in self.losses):
            raise ValueError("dimensions: act on the loss info-nce, add it or leave them out")
        return self

    def make(self, name: str, model: UniMoER, material: Material, *, seed: int) -> Objective:
        """See `ObjectiveSettings`."""
        groups = material.groups(self.sources)
        return ContrastiveObjective(name, model, groups, self, seed=seed, kept=material.kept)


class ContrastiveObjective(GroupObjective[Contrastive]):
    """Queries of one data set a draw, so that in-batch negatives are of the same kind.

    Where the task's experts read queries alone, documents stay as they are: each is run once, and
    every one of the data set is a negative of every query.

    Raises:
        DataError: a loss needs a teacher's scores that a data set has not.
    """

    def _prepare(self) -> None:
        super()._prepare()
        self._compares = any(term.needs_tokens for term in self._settings.losses)
        self._kept: dict[str, tuple[list[Any], Tensor]] = {}
        for name, found in self._sets.items() if self._task.queries_only else ():
            outputs = self._documents.of(self._task, list(found.texts))
            self._kept[name] = outputs, _vectors(outputs)

    def draw(self, index: int) -> Draw:
        """`size` queries of the data set whose turn it is, with their passages."""
        settings = self._settings
        chosen, items, rng = self._drawn(index)
        groups = [chosen.groups[item] for item in items]
        drawn = [
            group.drawn(settings.negatives, rng, any_positive=settings.any_positive)
            for group in groups
        ]
        kept = self._kept.get(chosen.name)
        documents = sorted({place for own, _ in drawn for place in own})
        if kept is not None:
            documents = list(range(len(kept[0])))
        column = {place: at for at, place in enumerate(documents)}
        own = [[column[place] for place in places] for places, _ in drawn]
        # A passage that answers another question of the batch too is no negative for it.
        masked = torch.zeros(len(groups), len(documents), dtype=torch.bool)
        for at, group in enumerate(groups):
            others = [column[d] for d in group.relevant if d in column]
            masked[at, others] = True
            masked[at, own[at][0]] = False
        rows = self._model.rows.single([g.query for g in groups], self._task, "query")
        if kept is None:
            rows += self._model.rows.single([chosen.texts[d] for d in documents], self._task)

        def batch(outputs: list[Any], frozen: VectorBatch | None = None) -> VectorBatch:
            vectors = _vectors(outputs)
            return VectorBatch(
                queries=vectors[: len(groups)],
                documents=vectors[len(groups) :] if kept is None else kept[1],
                own=own,
                masked=masked.to(vectors.device),
                temperature=settings.temperature,
                scores=[taught for _, taught in drawn],
                dimensions=settings.dimensions,
                frozen=frozen,
            )

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            seen = batch(outputs, batch(frozen) if frozen else None)
            if self._compares:
                read = outputs[len(groups) :] if kept is None else kept[0]
                seen = replace(seen, compared=self._compared(outputs[: len(groups)], read))
            return weighted(self.name, settings.losses, lambda term: term.batch_loss(seen))

        return Draw(rows, anchored=settings.anchored, loss=loss)

    def _compared(self, queries: Sequence[Any], documents: Sequence[Any]) -> Tensor:
        head: Any = self._model.heads[self._task.name]
        return torch.stack([head.compare(query, documents) for query in queries])


def _vectors(outputs: Sequence[Any]) -> Tensor:
    return torch.stack([vector_of(output) for output in outputs])
