"""UniMoER as a system: one model that finds, ranks and reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.systems.types import System
from unimoer_rag.model import UniMoER, ranking
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Document, Mode, Ranks, UnifiedRetriever
from unimoer_rag.wording import counted

__all__ = ["Unified", "corpus_in_index", "describe_checkpoint"]


class Unified:
    """One loaded checkpoint, or a bare backbone, on every stage.

    Args:
        model: the checkpoint.
        name: what results call it.
        reader: reads answers in its place; a bare backbone has not learnt to.
    """

    reranks = True
    ranker: Ranks | None = None  # the model itself

    def __init__(
        self, model: UniMoER, *, name: str = "unimoer", reader: Engine | None = None
    ) -> None:
        self.model, self.name = model, name
        self._reader = reader

    @property
    def embeds(self) -> UniMoER:
        """The model."""
        return self.model

    @property
    def reader(self) -> Engine | None:
        """The model's own engine, where no other was given: the same weights read."""
        own = Engine.of(self.model) if "read" in self.model.tasks else None
        return self._reader or own

    @property
    def modules(self) -> Sequence[UniMoER]:
        """The one model, and that of another reader."""
        return [self.model] if self._reader is None else [self.model, self._reader.model]

    def describe(self) -> Mapping[str, Any]:
        """The checkpoint and its digest; those of another reader too."""
        other = {} if self._reader is None else {"reader": describe_checkpoint(self._reader.model)}
        return {**describe_checkpoint(self.model), **other}

    def rank(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float32]]:
        """The RERANK task's logits, with its feedback; see `System.rank`."""
        # All are queued before the first is awaited, so that they share batches.
        engine = Engine.of(self.model)
        futures = [
            engine.submit(ranking(self.model, question, texts, logits=True))
            for question, texts in zip(questions, documents, strict=True)
        ]
        return [future.result() for future in futures]

    def forget(self) -> None:
        """Empty the engines' caches of token states, that of another reader too."""
        Engine.of(self.model).cache.clear()
        if self._reader is not None:
            self._reader.cache.clear()


def describe_checkpoint(model: UniMoER) -> dict[str, str]:
    """A checkpoint and its digest."""
    return {"checkpoint": model.checkpoint, "checkpoint_digest": model.checkpoint_digest}


@contextmanager
def corpus_in_index(
    system: System,
    corpus: Mapping[str, Document],
    *,
    index: Path,
    first_stage: str,
    depth: int,
    on_progress: Progress = silent,
) -> Iterator[UnifiedRetriever]:
    """A system's retriever over a corpus, each document whole, and nothing else.

    Args:
        system: finds and reranks.
        corpus: document id -> document, whose `source` is its id.
        index: folder of the index; what it holds already is not encoded again.
        first_stage: "dense", "sparse" or "hybrid".
        depth: first-stage results that a search reranks where it says nothing else.
        on_progress: called with "indexing", what is done and its size.

    Raises:
        IndexMismatchError: something else embedded what the index holds.
        DataError: the index holds passages of another corpus.
        InputError: there is no such first stage.
    """
    with UnifiedRetriever(
        system.embeds,
        reranker=system.ranker,
        index=index,
        chunking="whole",
        mode=cast("Mode", first_stage),  # the retriever refuses others
        rerank=depth,
    ) as retriever:
        report = retriever.add(
            corpus.values(),
            replace=False,  # each passage is a source; a corpus may be larger than memory
            on_progress=lambda so_far: on_progress("indexing", so_far.passages, len(corpus)),
        )
        held, wanted = retriever.count(), report.passages
        if held != wanted:
            raise DataError(
                f"the index at {index} holds {counted(held, 'passage')}, {held - wanted} of them "
                "not from this corpus: give each data set an index of its own"
            )
        yield retriever
