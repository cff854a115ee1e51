"""Jobs that give token states with vectors, and jobs that rank by states that were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks.jobs import Job, as_scores, as_vectors, embedding, embedding_size
from unimoer_rag.model.tasks.late import LateScoring, LateState
from unimoer_rag.model.tasks.registry import heads_of
from unimoer_rag.model.tasks.state_format import StateFormat
from unimoer_rag.model.tasks.task import Task

if TYPE_CHECKING:
    from unimoer_rag.model.rows import Side
    from unimoer_rag.model.unimoer import UniMoER

__all__ = [
    "Indexed",
    "asking",
    "documents_alike",
    "indexing",
    "keeps_states",
    "late_head",
    "late_task",
    "pairing",
    "pairing_states",
    "ranking_states",
]


class Indexed(NamedTuple):
    """Texts as an index keeps them.

    Attributes:
        vectors: their embeddings, float32 `[n, dimension]`.
        states: their token states, as `StateFormat.pack` makes them.
    """

    vectors: NDArray[np.float32]
    states: list[bytes]


def indexing(
    model: UniMoER, texts: Sequence[str], form: StateFormat, *, dimensions: int | None = None
) -> Job[Indexed]:
    """Embeddings of documents and their token states for the RERANK task.

    Both come from one forward where the two tasks run the backbone alike: with no expert on
    or one that both share, rows of one length, and no instruction before a document. Each text
    runs twice otherwise.

    Args:
        model: the model.
        texts: the documents.
        form: how the states are kept.
        dimensions: size of the embeddings, where the checkpoint was trained to be cut.

    Raises:
        InputError: a text is no string or is empty, the model's RERANK task keeps no states, or the
            checkpoint does not give embeddings of that size.
    """
    task = late_task(model)
    embed, size = model.task("embed"), embedding_size(model, dimensions)
    rows = model.rows.single(texts, task)
    n = len(rows)
    if not documents_alike(model):
        again = model.rows.single(texts, embed)
        # A text that is too long counts once.
        rows += [
            replace(row, truncated=row.truncated and not first.truncated)
            for row, first in zip(again, rows, strict=True)
        ]

    def finish(outputs: list[Any]) -> Indexed:
        states: list[LateState] = outputs[:n]
        # A late state's text vector is pooled as an embedding is.
        pooled = outputs[n:] or [state.pooled for state in states]
        with torch.inference_mode():
            packed = [form.pack(state) for state in states]
        return Indexed(as_vectors(pooled, size), packed)

    return Job(rows, finish)


def asking(
    model: UniMoER, queries: Sequence[str], *, dimensions: int | None = None
) -> Job[NDArray[np.float32]]:
    """Embeddings of queries that documents may be ranked for afterwards.

    Where EMBED and RERANK run the backbone alike, the forward is RERANK's: an engine then knows the
    query's token states when it ranks, and runs it once for both.

    Args:
        model: the model.
        queries: the queries.
        dimensions: size of the embeddings, where the checkpoint was trained to be cut.

    Raises:
        InputError: a query is no string or is empty, or the checkpoint does not give embeddings of
            that size.
    """
    task = model.tasks.get("rerank")
    # An instruction goes before what is embedded, and before nothing else.
    if (
        task is None
        or not issubclass(task.head_type, LateScoring)
        or model.query_instruction
        or not _alike(model.task("embed"), task, "query")
    ):
        return embedding(model, queries, "query", dimensions=dimensions)
    size = embedding_size(model, dimensions)
    rows = model.rows.single(queries, task, "query")
    return Job(rows, lambda states: as_vectors([state.pooled for state in states], size))


def late_task(model: UniMoER) -> Task:
    """The RERANK task of a model that reranks by late interaction.

    Raises:
        InputError: the model does not rerank, or reads query and document together.
    """
    task = model.task("rerank")
    if not keeps_states(model):
        raise InputError(
            f"{model.checkpoint} keeps no token states: its task 'rerank' has the head "
            f"{task.head!r}, expected {' or '.join(map(repr, heads_of(LateScoring)))}; leave "
            "token_states out"
        )
    return task


def keeps_states(model: UniMoER) -> bool:
    """Whether the model reranks by token states that can be kept."""
    task = model.tasks.get("rerank")
    return task is not None and issubclass(task.head_type, LateScoring)


def documents_alike(model: UniMoER) -> bool:
    """Whether one pass of a document gives both its embedding and its token states."""
    task = model.tasks.get("rerank")
    return (
        task is not None
        and keeps_states(model)
        and not model.document_instruction
        and _alike(model.task("embed"), task, "document")
    )


def _alike(one: Task, other: Task, side: Side) -> bool:
    """Whether a text has the same row, hidden states and text vector under both tasks."""
    one, other = one.on(side), other.on(side)
    silent = all(not (task.experts and task.strength) for task in (one, other))
    # Several experts may be weighed by task; one that both name has nothing to be weighed.
    shared = one.experts == other.experts and one.strength == other.strength
    framed = one.head_type.as_published == other.head_type.as_published
    ran = silent or (shared and len(one.experts) == 1)
    return ran and framed and one.max_tokens == other.max_tokens


def ranking_states(
    model: UniMoER, query: str, states: Sequence[bytes], form: StateFormat, *, logits: bool
) -> Job[NDArray[np.float32]]:
    """`ranking` of documents by their kept token states: only the query is encoded.

    Args:
        model: the model.
        query: the query.
        states: the documents', made by `indexing`.
        form: the format they were made in.
        logits: give raw logits in place of probabilities.

    Raises:
        InputError: the query is no string or is empty, or the model's RERANK task keeps no states.
        IndexCorruptError: states are damaged or of another format.
    """
    task, head = late_head(model)
    documents = _unpacked(model, head, states, form)

    def finish(outputs: list[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            raw = head.rank(outputs[0], documents, task.feedback, task.coverage, task.contrast)
            return as_scores(raw if logits else head.scores(raw, outputs))

    return Job(model.rows.single([query], task, "query"), finish)


def pairing(
    model: UniMoER, query: str, documents: Sequence[str], first: int
) -> Job[NDArray[np.float32]]:
    """Logits of two documents read as one: float32 `[first, len(documents)]`.

    Args:
        model: the model.
        query: the query.
        documents: the documents; nothing is encoded of those that an engine knows.
        first: how many of them, from the first, are paired with each.

    Raises:
        InputError: a text is no string or is empty, or the model's RERANK task keeps no states.
    """
    task, head = late_head(model)

    def finish(outputs: list[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return as_scores(head.together(outputs[0], outputs[1:], first))

    return Job(model.rows.compared(query, documents, task), finish)


def pairing_states(
    model: UniMoER, query: str, states: Sequence[bytes], form: StateFormat, first: int
) -> Job[NDArray[np.float32]]:
    """`pairing` of documents by their kept token states.

    Arguments and errors as for `ranking_states`.
    """
    task, head = late_head(model)
    documents = _unpacked(model, head, states, form)

    def finish(outputs: list[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return as_scores(head.together(outputs[0], documents, first))

    return Job(model.rows.single([query], task, "query"), finish)


def late_head(model: UniMoER) -> tuple[Task, LateScoring]:
    """The task of `late_task`, and its head."""
    task = late_task(model)
    head: LateScoring = model.heads[task.name]  # type: ignore[assignment]
    return task, head


def _unpacked(
    model: UniMoER, head: LateScoring, states: Sequence[bytes], form: StateFormat
) -> list[LateState]:
    width, beside = head.token_width(model.width), head.text_width(model.width)
    return [form.unpack(each, width, model.device, text_width=beside) for each in states]
