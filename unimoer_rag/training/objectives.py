"""Objectives: what each task learns from. One class an objective.

At every step an objective draws rows and says how their outputs become losses. The trainer merges
the rows of all objectives into the same batches. Draws are functions of the step alone, so that a
resumed run draws what the interrupted one would have drawn.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from unimoer_rag.model.heads import MAX_ANSWER_TOKENS
from unimoer_rag.model.rows import Row
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training import losses
from unimoer_rag.training.data import ReadSource
from unimoer_rag.training.mining import Mined
from unimoer_rag.training.recipe import Embedding, Ranking, Reading

__all__ = ["ContrastiveObjective", "Draw", "Objective", "RankingObjective", "ReadingObjective"]

Losses = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Draw:
    """Rows of one step, and the losses from their outputs.

    `loss(outputs, frozen)` gets the outputs of `rows` in order, and those of the same rows from
    the backbone with its experts off where `anchored`, else an empty list.
    """

    rows: list[Row]
    anchored: bool
    loss: Callable[[list[Any], list[Any]], Losses]


class Objective(Protocol):
    """What the trainer asks of an objective."""

    def draw(self, step: int) -> Draw | None:
        """The rows and losses of a step; None at steps it sits out."""


class ReadingObjective:
    """Span extraction with unanswerable pairs."""

    def __init__(
        self, model: UniMoER, sources: Sequence[ReadSource], config: Reading, seed: int
    ) -> None:
        self._model, self._config, self._seed = model, config, seed
        self._items = [(source, index) for source in sources for index in range(len(source))]

    def draw(self, step: int) -> Draw:
        """The next examples of the epoch's shuffled order."""
        rng = random.Random(f"read-{self._seed}-{step}")
        size, total = self._config.examples, len(self._items)
        examples = []
        for at in range(step * size, (step + 1) * size):
            source, index = self._items[_shuffled(at, total, self._seed)]
            examples.append(source.draw(index, rng))
        rows = self._model.rows.pairs(
            [(example.question, example.passage) for example in examples],
            self._model.task("read"),
        )

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            each = [
                losses.span(output, _token_spans(example.spans, row))
                for output, example, row in zip(outputs, examples, rows, strict=True)
            ]
            return {"read/span": self._config.weight * torch.stack(each).mean()}

        return Draw(rows, anchored=False, loss=loss)


def _token_spans(spans: Sequence[tuple[int, int]], row: Row) -> list[tuple[int, int]]:
    """Character spans as inclusive token spans.

    Spans cut off by truncation are gone; those longer than the head can give are shortened.
    """
    found = []
    for start, end in spans:
        inside = [i for i, (s, e) in enumerate(row.offsets) if s < end and e > start]
        if inside and row.offsets[inside[-1]][1] >= end:
            found.append((inside[0], min(inside[-1], inside[0] + MAX_ANSWER_TOKENS - 1)))
    return found


class RankingObjective:
    """Groups of one positive and mined negatives, held near the frozen model's ranking."""

    def __init__(
        self, model: UniMoER, mined: Mapping[str, Mined], config: Ranking, seed: int
    ) -> None:
        self._model, self._config, self._seed = model, config, seed
        self._mined = list(mined.values())
        self._task = model.task("rerank")
        # The head as it starts: the frozen scores to stay near are judged by it throughout.
        self._frozen_head: Any = model.new_head(self._task)

    def draw(self, step: int) -> Draw | None:
        """Groups of several sources, one after the other."""
        step, rest = divmod(step, self._config.every)
        if rest:
            return None
        rng = random.Random(f"rank-{self._seed}-{step}")
        size = self._config.groups
        groups = []
        for at in range(step * size, (step + 1) * size):
            mined = self._mined[at % len(self._mined)]
            question = mined.questions[_shuffled(at // len(self._mined), len(mined.questions), 1)]
            n = min(self._config.negatives, len(question.negatives))
            chosen = rng.sample(question.negatives, n)
            groups.append((question.query, [mined.texts[d] for d in (question.positive, *chosen)]))
        rows: list[Row] = []
        for query, documents in groups:
            rows += self._model.rows.single([query], self._task, "query")
            rows += self._model.rows.single(documents, self._task, "document")

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            head: Any = self._model.heads["rerank"]
            total: dict[str, list[Tensor]] = {"rank": [], "binary": [], "anchor": []}
            at = 0
            for _, documents in groups:
                end = at + 1 + len(documents)
                logits = head.compare(outputs[at], outputs[at + 1 : end])
                with torch.no_grad():
                    anchor = self._frozen_head.compare(frozen[at], frozen[at + 1 : end])
                at = end
                total["rank"].append(losses.list_softmax(logits))
                total["binary"].append(losses.binary(logits))
                total["anchor"].append(
                    losses.kl_anchor(logits, anchor, temperature=self._config.anchor_temperature)
                )
            weight = {
                "rank": self._config.weight,
                "binary": self._config.binary,
                "anchor": self._config.anchor,
            }
            return {
                f"rerank/{name}": weight[name] * torch.stack(values).mean()
                for name, values in total.items()
            }

        return Draw(rows, anchored=True, loss=loss)


class ContrastiveObjective:
    """InfoNCE with in-batch and mined negatives, held near the frozen similarities."""

    def __init__(
        self, model: UniMoER, mined: Mapping[str, Mined], config: Embedding, seed: int
    ) -> None:
        self._model, self._config, self._seed = model, config, seed
        self._mined = list(mined.values())
        self._task = model.task("embed")

    def draw(self, step: int) -> Draw | None:
        """Queries of one source, so that in-batch negatives are of the same kind."""
        step, rest = divmod(step, self._config.every)
        if rest:
            return None
        rng = random.Random(f"embed-{self._seed}-{step}")
        mined = self._mined[step % len(self._mined)]
        turn = step // len(self._mined)
        size = self._config.queries
        questions = [
            mined.questions[_shuffled(at, len(mined.questions), 2)]
            for at in range(turn * size, (turn + 1) * size)
        ]
        documents: list[int] = []
        for question in questions:
            n = min(self._config.negatives, len(question.negatives))
            documents += [question.positive, *rng.sample(question.negatives, n)]
        documents = sorted(set(documents))
        column = {document: at for at, document in enumerate(documents)}
        positives = torch.tensor([column[q.positive] for q in questions])
        # A passage that answers another question of the batch too is no negative for it.
        masked = torch.tensor(
            [[d in q.relevant and d != q.positive for d in documents] for q in questions]
        )
        rows = self._model.rows.single([q.query for q in questions], self._task, "query")
        rows += self._model.rows.single([mined.texts[d] for d in documents], self._task)
        n = len(questions)

        def similarity(outputs: list[Any]) -> Tensor:
            vectors = torch.stack(outputs)
            return (vectors[:n] @ vectors[n:].T).masked_fill(masked.to(vectors.device), -1e4)

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            cosines = similarity(outputs)
            contrast = losses.info_nce(
                cosines, positives.to(cosines.device), temperature=self._config.temperature
            )
            anchor = losses.kl_anchor(
                cosines / self._config.temperature,
                similarity(frozen) / self._config.temperature,
                temperature=self._config.anchor_temperature,
            )
            return {
                "embed/contrast": self._config.weight * contrast,
                "embed/anchor": self._config.anchor * anchor,
            }

        return Draw(rows, anchored=True, loss=loss)


def _shuffled(at: int, total: int, seed: int) -> int:
    """The item at a place of an endless walk over shuffled epochs, without storing the order.

    An affine map modulo `total` with a multiplier prime to it visits each item once an epoch.
    """
    epoch, place = divmod(at, total)
    rng = random.Random(f"{seed}-{epoch}-{total}")
    while True:
        factor = rng.randrange(1, total) if total > 1 else 1
        if math.gcd(factor, total) == 1:
            return (place * factor + rng.randrange(total)) % total
