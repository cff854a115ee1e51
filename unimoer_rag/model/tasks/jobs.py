"""Jobs: what a user asks for, as rows to run and a way to finish from their outputs.

The model runs a job at once; the engine merges the rows of many callers' jobs into its batches.
Both get the same answer from the same three functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.model.rows import Row, Side, check_list
from unimoer_rag.model.tasks.heads import SpanScores, span_logits
from unimoer_rag.model.tasks.late import LateHead
from unimoer_rag.model.tasks.task import Task
from unimoer_rag.model.untrained import is_untrained

if TYPE_CHECKING:
    from unimoer_rag.model.unimoer import UniMoER

__all__ = [
    "Job",
    "Reading",
    "as_scores",
    "as_vectors",
    "classifying",
    "decode_span",
    "embedding",
    "embedding_size",
    "ranking",
    "reading",
    "scoring",
]

T = TypeVar("T")

# Relevance comes as a float32 probability: nothing nearer to 0 and 1 means more.
_CERTAIN = 1e-7


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Rows, and how their outputs (in row order) become the result."""

    rows: list[Row]
    finish: Callable[[list[Any]], T]

    @property
    def n_truncated(self) -> int:
        """How many rows were too long and lost tokens at the end of a text."""
        return sum(row.truncated for row in self.rows)


_GUESS = 0.05  # most that a reader which has learnt nothing is sure of


@dataclass(frozen=True, slots=True)
class Reading:
    """The best answer span of one passage.

    Where the passage has no token left (a question as long as the row, a text of zero-width
    characters), it is the empty span with `no_answer` 1 and a margin of minus infinity.

    Attributes:
        text: the answer, exactly `passage[start:end]`, without whitespace around it.
        start: character offset in the passage.
        end: offset behind the last character.
        probability: of this span, among all spans and "no answer".
        no_answer: probability that the passage does not answer.
        margin: logit of the span minus that of "no answer"; compares passages.
        trained: whether the task has learnt to read; what it says means nothing else.
    """

    text: str
    start: int
    end: int
    probability: float
    no_answer: float
    margin: float
    trained: bool = True

    @property
    def doubt(self) -> float:
        """Probability of "no answer" against this span alone, other spans left out."""
        return self.no_answer / (self.no_answer + self.probability)

    def confidence(self, relevance: float | None = None) -> float:
        """Probability that this answers the question, given how relevant the passage is.

        Reader and reranker are taken for independent witnesses, whose odds multiply (Bayes' rule):
        `sigmoid(margin + logit(relevance))`.
        Of a task that has not been trained it is a guess, a twentieth of that at most: less than
        what an answer takes.

        Args:
            relevance: probability in [0, 1] from `score` or `rank`; None leaves it to the reader.
        """
        evidence = self.margin
        if relevance is not None:
            kept = min(max(relevance, _CERTAIN), 1 - _CERTAIN)
            evidence += math.log(kept / (1 - kept))
        sure = 0.5 * (1 + math.tanh(evidence / 2))  # the sigmoid, without overflow
        return sure if self.trained else _GUESS * sure


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
        instruction: goes before every text, in place of the model's own for queries; "" for none.
        dimensions: size of the embeddings, where the checkpoint was trained to be cut.
        blank: take texts without a visible character too, in place of refusing them.

    Raises:
        InputError: a text is no string or is empty, the side is unknown, or the checkpoint does
            not give embeddings of that size.
    """
    if side not in ("query", "document"):
        raise InputError(f"unknown side {side!r}: expected 'query' or 'document'")
    task = model.task("embed")
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
    return _numbers(vectors, "vectors")


def scoring(
    model: UniMoER, query: str, documents: Sequence[str], task: str, *, logits: bool
) -> Job[NDArray[np.float32]]:
    """Relevance of documents for a query, float32 `[n]`.

    Each pair is scored for itself: other documents change nothing.

    Raises:
        InputError: a text is no string or is empty, or the task does not score pairs.
    """
    return _judging(model, query, documents, model.task(task), logits=logits, among=False)


def ranking(
    model: UniMoER, query: str, documents: Sequence[str], *, logits: bool
) -> Job[NDArray[np.float32]]:
    """Scores to order a query's results by, float32 `[n]`.

    With the RERANK task's feedback, a document's score depends on the others.

    Raises:
        InputError: a text is no string or is empty, or the model does not rerank.
    """
    return _judging(model, query, documents, model.task("rerank"), logits=logits, among=True)


def _judging(
    model: UniMoER,
    query: str,
    documents: Sequence[str],
    task: Task,
    *,
    logits: bool,
    among: bool,
) -> Job[NDArray[np.float32]]:
    """Each document for itself, or among the others."""
    if task.head not in ("late", "cross"):
        raise InputError(f"task {task.name!r} does not score pairs: its head is {task.head!r}")
    check_list(documents, "documents")
    n = len(documents)
    if task.head == "late":
        rows = model.rows.single([query], task, "query")
        rows += model.rows.single(documents, task, "document")
    else:
        rows = model.rows.pairs([(query, document) for document in documents], task)

    def finish(outputs: list[Any]) -> NDArray[np.float32]:
        if not n:
            return np.zeros(0, dtype=np.float32)
        with torch.inference_mode():
            if task.head == "late":
                head: LateHead = model.heads[task.name]  # type: ignore[assignment]
                raw = (
                    head.rank(outputs[0], outputs[1:], task.feedback, task.coverage)
                    if among
                    else head.compare(outputs[0], outputs[1:])
                )
            else:
                raw = torch.stack(outputs)
            return as_scores(raw, logits=logits)

    return Job(rows, finish)


def as_scores(raw: Tensor, *, logits: bool) -> NDArray[np.float32]:
    """Logits as float32 `[n]`, or the probabilities that they stand for."""
    scores: NDArray[np.float32] = (raw if logits else raw.sigmoid()).float().cpu().numpy()
    return _numbers(scores, "scores")


def _numbers(values: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    """The values, none of which is "not a number".

    Raises:
        UnimoerError: one is: no order and no comparison would mean anything.
    """
    if np.isnan(values).any():
        raise UnimoerError(
            f"the model gave {what} that are not numbers (NaN): its weights are out of what its "
            "dtype can compute with; load it in 'float32' or 'bfloat16', or get its files again"
        )
    return values


def reading(
    model: UniMoER, question: str, passages: Sequence[str], task: str = "read"
) -> Job[list[Reading]]:
    """The best answer span of each passage.

    Raises:
        InputError: a text is no string or is empty, or the task does not read.
    """
    chosen = model.task(task)
    if chosen.head != "span":
        raise InputError(
            f"task {task!r} does not read: its head is {chosen.head!r}, expected 'span'"
        )
    check_list(passages, "passages")
    kept = list(passages)
    rows = model.rows.pairs([(question, passage) for passage in kept], chosen)

    trained = not is_untrained(model, task)

    def finish(outputs: list[Any]) -> list[Reading]:
        return [
            replace(decode_span(scores, row, passage), trained=trained)
            for scores, row, passage in zip(outputs, rows, kept, strict=True)
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
    if chosen.head != "class":
        raise InputError(
            f"task {task!r} does not classify: its head is {chosen.head!r}, expected 'class'"
        )
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
        return _numbers(answers, "probabilities")

    return Job(rows, finish)


def decode_span(scores: SpanScores, row: Row, passage: str) -> Reading:
    """The most probable span, its probability normalised over all spans and "no answer".

    Args:
        scores: the span head's, of the row's document tokens.
        row: the pair; its offsets lead from tokens to characters.
        passage: the document's text.
    """
    if not row.offsets:
        return Reading("", 0, 0, probability=0.0, no_answer=1.0, margin=-math.inf)
    with torch.inference_mode():
        joint = span_logits(scores)
        total = torch.logaddexp(joint.flatten().logsumexp(0), scores.null)
        flat = int(joint.argmax())
        i, j = divmod(flat, joint.shape[1])
        best = joint[i, j]
        _numbers(torch.stack([best, total]).float().cpu().numpy(), "answers")
        start, end = _trim(passage, row.offsets[i][0], row.offsets[j][1])
        return Reading(
            text=passage[start:end],
            start=start,
            end=end,
            probability=float((best - total).exp()),
            no_answer=float((scores.null - total).exp()),
            margin=float(best - scores.null),
        )


def _trim(passage: str, start: int, end: int) -> tuple[int, int]:
    """The span without whitespace at its ends: byte-level tokens begin with their space."""
    text = passage[start:end]
    start += len(text) - len(text.lstrip())
    return start, start + len(text.strip())
