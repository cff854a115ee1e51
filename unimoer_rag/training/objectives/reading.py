"""Reading: answer spans of passages, some of which do not answer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from unimoer_rag.data import ReadSource
from unimoer_rag.model import MAX_ANSWER_TOKENS, Row, UniMoER
from unimoer_rag.training import losses
from unimoer_rag.training.objectives import config
from unimoer_rag.training.objectives.order import Order
from unimoer_rag.training.objectives.types import Draw, Losses

__all__ = ["ReadingObjective", "token_spans"]


class ReadingObjective:
    """Span extraction with unanswerable pairs.

    Args:
        name: of the objective in its recipe.
        model: what learns.
        sources: where examples come from.
        settings: of the recipe.
        seed: of the draws.
    """

    def __init__(
        self,
        name: str,
        model: UniMoER,
        sources: Mapping[str, ReadSource],
        settings: config.Reading,
        *,
        seed: int,
    ) -> None:
        self.name, self.every = name, settings.every
        self._model, self._sources, self._settings, self._seed = model, sources, settings, seed
        self._task = model.task(settings.task)
        self._order = Order(
            settings,
            {name: len(source) for name, source in sources.items()},
            seed=f"{name}-{seed}",
            lengths=lambda source: sources[source].lengths(),
        )

    def draw(self, index: int) -> Draw:
        """The next examples of a data set's shuffled order."""
        rng = random.Random(f"{self.name}-{self._seed}-{index}")
        source, items = self._order.draw(index)
        examples = [self._sources[source].draw(item, rng) for item in items]
        rows = self._model.rows.pairs([(e.question, e.passage) for e in examples], self._task)

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            each = [
                losses.span(output, token_spans(example.spans, row))
                for output, example, row in zip(outputs, examples, rows, strict=True)
            ]
            return {f"{self.name}/span": self._settings.weight * torch.stack(each).mean()}

        return Draw(rows, anchored=False, loss=loss)


def token_spans(spans: Sequence[tuple[int, int]], row: Row) -> list[tuple[int, int]]:
    """Character spans as inclusive token spans.

    Spans cut off by truncation are gone; those longer than the head can give are shortened.
    """
    found = []
    for start, end in spans:
        inside = [i for i, (s, e) in enumerate(row.offsets) if s < end and e > start]
        if inside and row.offsets[inside[-1]][1] >= end:
            found.append((inside[0], min(inside[-1], inside[0] + MAX_ANSWER_TOKENS - 1)))
    return found
