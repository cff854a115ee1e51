"""Reading: answer spans of passages, some of which do not answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from unimoer_rag.data import BeirDataset, ReadSource, Sources
from unimoer_rag.model import MAX_ANSWER_TOKENS, ReadingHead, Row, UniMoER
from unimoer_rag.training import losses
from unimoer_rag.training.objectives.drawn import DrawnObjective
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Draw, Losses, ObjectiveSettings

__all__ = ["Reading", "ReadingObjective", "token_spans"]


class Reading(ObjectiveSettings):
    """Answer spans, with pairs made unanswerable."""

    kind: Literal["reading"] = "reading"
    unanswerable: float = Field(
        default=0.3, ge=0, le=1, description="share of the pairs that is made unanswerable"
    )
    crop: float = Field(
        default=0.6, ge=0, le=1, description="share of the passages cropped around the answer"
    )
    crop_words: int = Field(default=80, ge=10, description="words that a crop leaves at most")
    weight: float = Field(default=1.0, gt=0, description="of this loss")

    teaches: ClassVar[type] = ReadingHead

    def source(self, dataset: BeirDataset) -> ReadSource:
        """The examples of a data set, cropped and made unanswerable as they are drawn."""
        return ReadSource(
            dataset, unanswerable=self.unanswerable, crop=self.crop, crop_words=self.crop_words
        )

    def make(self, name: str, model: UniMoER, material: Material, *, seed: int) -> ReadingObjective:
        """See `ObjectiveSettings`."""
        sources = {one: self.source(material.sources.beir(one)) for one in self.sources}
        return ReadingObjective(name, model, sources, self, seed=seed)

    def counts(self, sources: Sources, source: str) -> dict[str, int]:
        """See `ObjectiveSettings`."""
        return {"answered": len(self.source(sources.beir(source)))}


class ReadingObjective(DrawnObjective[Reading, ReadSource]):
    """Span extraction with unanswerable pairs."""

    def _size(self, found: ReadSource) -> int:
        return len(found)

    def draw(self, index: int) -> Draw:
        """The next examples of a data set's shuffled order."""
        chosen, items, rng = self._drawn(index)
        examples = [chosen.draw(item, rng) for item in items]
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
