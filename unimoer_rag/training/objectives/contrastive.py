"""Embeddings by contrast: each query's passage against those of the others and mined ones."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.data import Group, TrainingSet
from unimoer_rag.model import UniMoER
from unimoer_rag.training import losses
from unimoer_rag.training.objectives import config
from unimoer_rag.training.objectives.order import Order
from unimoer_rag.training.objectives.terms import check_teacher
from unimoer_rag.training.objectives.types import Draw, Losses

__all__ = ["ContrastiveObjective"]

# Cosine of a masked candidate: far below any real one once divided by a temperature, and finite.
_MASKED = -1e4


class ContrastiveObjective:
    """Queries of one data set a draw, so that in-batch negatives are of the same kind.

    Args:
        name: of the objective in its recipe.
        model: what learns.
        sets: where queries and passages come from.
        settings: of the recipe.
        seed: of the draws.

    Raises:
        DataError: a loss needs a teacher's scores that a data set has not.
    """

    def __init__(
        self,
        name: str,
        model: UniMoER,
        sets: Mapping[str, TrainingSet],
        settings: config.Contrastive,
        *,
        seed: int,
    ) -> None:
        check_teacher(name, settings.losses, sets.values())
        self.name, self.every = name, settings.every
        self._model, self._sets, self._settings, self._seed = model, sets, settings, seed
        self._task = model.task(settings.task)
        self._anchored = any(isinstance(term, config.Anchor) for term in settings.losses)
        self._order = Order.of_groups(settings, sets, seed=f"{name}-{seed}")

    def draw(self, index: int) -> Draw:
        """`size` queries of the data set whose turn it is, with their passages."""
        rng = random.Random(f"{self.name}-{self._seed}-{index}")
        source, items = self._order.draw(index)
        chosen = self._sets[source]
        groups = [chosen.groups[item] for item in items]
        drawn = [group.drawn(self._settings.negatives, rng) for group in groups]
        places, scores = [own for own, _ in drawn], [taught for _, taught in drawn]
        documents = sorted({place for own in places for place in own})
        column = {place: at for at, place in enumerate(documents)}
        own_columns = [[column[place] for place in own] for own in places]
        # A passage that answers another question of the batch too is no negative for it.
        masked = torch.tensor(
            [[d in g.relevant and d != g.positive for d in documents] for g in groups]
        )
        rows = self._model.rows.single([g.query for g in groups], self._task, "query")
        rows += self._model.rows.single([chosen.texts[d] for d in documents], self._task)

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            batch = _Batch(outputs, groups, own_columns, masked)
            still = _Batch(frozen, groups, own_columns, masked) if frozen else None
            found: Losses = {}
            for term in self._settings.losses:  # two may be of a kind
                name = f"{self.name}/{term.kind}"
                value = term.weight * self._term(term, batch, still, scores)
                found[name] = found[name] + value if name in found else value
            return found

        return Draw(rows, anchored=self._anchored, loss=loss)

    def _term(
        self,
        term: config.ContrastiveTerm,
        batch: _Batch,
        frozen: _Batch | None,
        scores: list[tuple[float, ...]],
    ) -> Tensor:
        """One term's loss of a batch, before its weight."""
        sharpness = 1 / self._settings.temperature
        if isinstance(term, config.InfoNce):

            def contrast(queries: Tensor, documents: Tensor) -> Tensor:
                return losses.info_nce(
                    queries,
                    documents,
                    batch.positives,
                    batch.masked,
                    temperature=self._settings.temperature,
                    query_query=term.query_query,
                    document_document=term.document_document,
                    margin=term.margin,
                )

            if not self._settings.dimensions:
                return contrast(batch.queries, batch.documents)
            weights = {batch.queries.shape[-1]: 1.0, **self._settings.dimensions}
            return losses.matryoshka(
                contrast,
                batch.queries,
                batch.documents,
                dimensions=list(weights),
                weights=list(weights.values()),
            )
        if isinstance(term, config.Anchor):
            assert frozen is not None
            return losses.kl(
                batch.cosines() * sharpness,
                frozen.cosines() * sharpness,
                temperature=term.temperature,
            )
        each = []
        for logits, taught in zip(batch.own_cosines(), scores, strict=True):
            teacher = torch.tensor(taught, dtype=logits.dtype, device=logits.device)
            if isinstance(term, config.Kl):
                each.append(losses.kl(logits * sharpness, teacher, temperature=term.temperature))
            else:
                each.append(losses.margin_mse(logits * sharpness, teacher))
        return torch.stack(each).mean()


class _Batch:
    """The vectors of one draw, taken apart."""

    def __init__(
        self,
        outputs: list[Any],
        groups: list[Group],
        own_columns: list[list[int]],
        masked: Tensor,
    ) -> None:
        vectors = torch.stack(outputs)
        n = len(groups)
        self.queries, self.documents = vectors[:n], vectors[n:]
        self._own = own_columns
        self.positives = torch.tensor([own[0] for own in own_columns], device=vectors.device)
        self.masked = masked.to(vectors.device)

    def cosines(self) -> Tensor:
        """`[queries, documents]`, what a query may not be told apart from masked."""
        return (self.queries @ self.documents.T).masked_fill(self.masked, _MASKED)

    def own_cosines(self) -> list[Tensor]:
        """Of each query with its own positive and mined negatives."""
        cosines = self.queries @ self.documents.T
        return [row[own] for row, own in zip(cosines, self._own, strict=True)]
