"""Jobs: what a user asks for, as rows to run and a way to finish from their outputs.

The model runs a job at once; the engine merges the rows of many callers' jobs into its batches.
Both get the same answer from the same three functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.rows import Row, Side
from unimoer_rag.model.tasks.head import (
    ClassifyingHead,
    EmbeddingHead,
    Head,
    ReadingHead,
    ScoringHead,
    check_numbers,
)
from unimoer_rag.model.tasks.registry import heads_of
from unimoer_rag.model.tasks.span import Reading
from unimoer_rag.model.tasks.task import Task
from unimoer_rag.model.texts import check_list
from unimoer_rag.model.untrained import is_untrained, warn_once_if_untrained

if TYPE_CHECKING:
    from unimoer_rag.model.unimoer import UniMoER

__all__ = [
    "Job",
    "Reading",
    "as_scores",
    "as_vectors",
    "classifying",
    "embedding",
    "embedding_size",
    "ranking",
    "reading",
    "scoring",
]

T = TypeVar("T")
H = TypeVar("H", bound=Head)


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Rows, and how their outputs (in row order) become the result."""

    rows: list[Row]
    finish: Callable[[list[Any]], T]

    @property
    def n_truncated(self) -> int:
        """How many rows were too long and lost tokens at the end of a text."""
        return sum(row.truncated for row in self.rows)


def embedding(
    model: UniMoER,
    texts: Sequence[str],
    side: Side,
    *,
    instruction: str | None = None,
    dimensions: int | None = None,
    blank: bool = False,
) -> Job[NDArray[np.float32]]:
    """Embeddings of texts, float32 `[n, dimensions]`, L2-normalised.

    Args:
        model: the model.
        texts: the texts.
        side: what they are.
        instruction: goes before every text, in place of the model's own for the side; "" for none.
        dimensions: size of the embeddings, where the checkpoint was trained to be cut.
        blank: take texts without a visible character too, in place of refusing them.

    Raises:
        InputError: a text is no string or is empty, the side is unknown, or the checkpoint does
            not give embeddings of that size.
    """
    if side not in ("query", "document"):
        raise InputError(f"unknown side {side!r}: expected 'query' or 'document'")
    task = model.task("embed")
    head = _head(model, task, EmbeddingHead, "embed")
    if instruction and not head.instructed:
        raise InputError(
            f"{model.checkpoint} takes no instruction ({instruction!r:.80}): it has the prompts "
            "that it was published with; leave the instruction out"
        )
    size = embedding_size(model, dimensions)
    rows = model.rows.single(texts, task, side, instruction, blank=blank)
    return Job(rows, lambda outputs: as_vectors(outputs, size))


def embedding_size(model: UniMoER, dimensions: int | None) -> int:
    """The size of the model's embeddings when `dimensions` are asked for; None is the full size.

    Raises:
        InputError: the checkpoint does not give embeddings of that size.
    """
    sizes = (*model.task("embed").dimensions, model.dimension)
    if dimensions is None:
        return model.dimension
    if isinstance(dimensions, bool) or dimensions not in sizes:
        allowed = ", ".join(map(str, sorted(set(sizes))))
        raise InputError(
            f"dimensions is {dimensions!r}: {model.checkpoint} gives embeddings of {allowed} "
            "(a checkpoint must be trained to be cut; Matryoshka)"
        )
    return dimensions


def as_vectors(pooled: Sequence[Tensor], size: int) -> NDArray[np.float32]:
    """Text vectors as float32 `[n, size]`, cut where they are longer."""
    if not pooled:
        return np.zeros((0, size), dtype=np.float32)
    whole = torch.stack(list(pooled)).float()
    if size < whole.shape[1]:
        whole = functional.normalize(whole[:, :size], dim=-1)
    vectors: NDArray[np.float32] = whole.cpu().numpy()
    return check_numbers(vectors, "vectors")


def scoring(
    model: UniMoER,
    query: str,
    documents: Sequence[str],
    task: str,
    *,
    logits: bool,
    among: bool = False,
) -> Job[NDArray[np.float32]]:
    """Relevance of documents for a query, float32 `[n]`.

    Each pair is scored for itself, so that other documents change nothing; or `among` the others.

    Raises:
        InputError: a text is no string or is empty, or the task does not score pairs.
    """
    chosen = model.task(task)
    head = _head(model, chosen, ScoringHead, "score pairs")
    check_list(documents, "documents")
    n, rows = len(documents), model.rows.compared(query, documents, chosen)

    def finish(outputs: list[Any]) -> NDArray[np.float32]:
        if not n:
            return np.zeros(0, dtype=np.float32)
        with torch.inference_mode():
            raw = head.ranking_logits(outputs, chosen) if among else head.logits(outputs)
            return as_scores(raw if logits else head.scores(raw, outputs))

    return Job(rows, finish)


def ranking(
    model: UniMoER, query: str, documents: Sequence[str], *, logits: bool
) -> Job[NDArray[np.float32]]:
    """Scores to order a query's results by, float32 `[n]`.

    With the RERANK task's feedback, a document's score depends on the others.

    Raises:
        InputError: a text is no string or is empty, or the model does not rerank.
    """
    return scoring(model, query, documents, "rerank", logits=logits, among=True)


def _head(model: UniMoER, task: Task, kind: type[H], does: str) -> H:
    """The head of a task, which must be of that kind."""
    head = model.heads[task.name]
    if not isinstance(head, kind):
        raise InputError(
            f"task {task.name!r} does not {does}: its head is {task.head!r}, expected "
            f"{' or '.join(map(repr, heads_of(kind)))}"
        )
    return head


def as_scores(values: Tensor) -> NDArray[np.float32]:
    """Logits, or the scores that they stand for, as float32 `[n]`."""
    scores: NDArray[np.float32] = values.float().cpu().numpy()
    return check_numbers(scores, "scores")


def reading(
    model: UniMoER, question: str, passages: Sequence[str], task: str = "read"
) -> Job[list[Reading]]:
    """The best answer span of each passage.

    Raises:
        InputError: a text is no string or is empty, or the task does not read.
    """
    chosen = model.task(task)
    head = _head(model, chosen, ReadingHead, "read")
    check_list(passages, "passages")
    kept = list(passages)
    rows = model.rows.pairs([(question, passage) for passage in kept], chosen)

    trained = not is_untrained(model, task)
    if not trained:
        warn_once_if_untrained(model, model.backbone_name, task)

    def finish(outputs: list[Any]) -> list[Reading]:
        return [
            replace(head.reading(output, row, passage), trained=trained)
            for output, row, passage in zip(outputs, rows, kept, strict=True)
        ]

    return Job(rows, finish)


def classifying(
    model: UniMoER,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    task: str,
    *,
    logits: bool,
) -> Job[NDArray[np.float32]]:
    """Probabilities (or logits) of a task's labels, float32 `[n, labels]`.

    Raises:
        InputError: a text is no string or is empty, there is not one second text for each first,
            or the task does not classify.
    """
    chosen = model.task(task)
    _head(model, chosen, ClassifyingHead, "classify")
    check_list(texts, "texts")
    if pairs is None:
        rows = model.rows.single(texts, chosen)
    else:
        check_list(pairs, "pairs")
        if len(pairs) != len(texts):
            raise InputError(
                f"{len(texts)} texts and {len(pairs)} pairs: expected one second text for each"
            )
        rows = model.rows.pairs(list(zip(texts, pairs, strict=True)), chosen)

    def finish(outputs: list[Any]) -> NDArray[np.float32]:
        if not outputs:
            return np.zeros((0, len(chosen.labels)), dtype=np.float32)
        raw = torch.stack(outputs).float()
        answers: NDArray[np.float32] = (raw if logits else raw.softmax(-1)).cpu().numpy()
        return check_numbers(answers, "probabilities")

    return Job(rows, finish)
