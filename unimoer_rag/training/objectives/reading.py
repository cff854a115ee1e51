"""Reading: answer spans of passages, some of which do not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from unimoer_rag.data import BeirDataset, ReadSource, Sources, TrainingSet
from unimoer_rag.model import MAX_ANSWER_TOKENS, ReadingHead, Row, UniMoER
from unimoer_rag.training import losses
from unimoer_rag.training.objectives.drawn import DrawnObjective
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Draw, Losses, ObjectiveSettings

__all__ = ["Reading", "ReadingObjective", "hard_passages", "token_spans"]


class Reading(ObjectiveSettings):
    """Answer spans, with pairs made unanswerable."""

    kind: Literal["reading"] = "reading"
    unanswerable: float = Field(
        default=0.3, ge=0, le=1, description="share of the pairs that is made unanswerable"
    )
    mined: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of these that ask a mined passage (see `mining`), not one made by rule",
    )
    crop: float = Field(
        default=0.6, ge=0, le=1, description="share of the passages cropped around the answer"
    )
    crop_words: int = Field(default=80, ge=10, description="words that a crop leaves at most")
    weight: float = Field(default=1.0, gt=0, description="of this loss")

    teaches: ClassVar[tuple[type, ...]] = (ReadingHead,)

    def source(
        self, dataset: BeirDataset, hard: Mapping[str, Sequence[str]] | None = None
    ) -> ReadSource:
        """The examples of a data set, cropped and made unanswerable as they are drawn."""
        return ReadSource(
            dataset,
            unanswerable=self.unanswerable,
            crop=self.crop,
            crop_words=self.crop_words,
            mined=self.mined,
            hard=hard or {},
        )

    def make(self, name: str, model: UniMoER, material: Material, *, seed: int) -> ReadingObjective:
        """See `ObjectiveSettings`."""
        mined = material.groups(self.sources) if self.mined else {}
        sources = {}
        for one in self.sources:
            dataset = material.sources.beir(one)
            hard = hard_passages(dataset, mined[one]) if self.mined else None
            sources[one] = self.source(dataset, hard)
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


def hard_passages(dataset: BeirDataset, mined: TrainingSet) -> dict[str, list[str]]:
    """Question -> texts of the passages that were mined for it and hold none of its answers."""
    # A reader reads texts without their titles: with one a passage would be known for mined.
    texts = {document.content: document.text for document in dataset.corpus.values()}
    found: dict[str, list[str]] = {}
    for group in mined.groups:
        passages = [texts[mined.texts[place]] for place in group.negatives]
        found[group.query] = [
            text for text in passages if text and not any(a and a in text for a in group.answers)
        ]
    return found


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
