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
from unimoer_rag.model import UniMoER, ranking
from unimoer_rag.progress import Progress
from unimoer_rag.retrieval import Document, Mode, UnifiedRetriever

__all__ = ["Unified", "describe_checkpoint"]


class Unified:
    """One loaded checkpoint, or a bare backbone, on every stage.

    Args:
        model: the checkpoint.
        name: what results call it.
        reader: reads answers in its place; a bare backbone has not learnt to.
    """

    reranks = True

    def __init__(
        self, model: UniMoER, *, name: str = "unimoer", reader: Engine | None = None
    ) -> None:
        self.model, self.name = model, name
        self._reader = reader

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

    @contextmanager
    def over(
        self,
        corpus: Mapping[str, Document],
        *,
        index: Path,
        first_stage: str,
        depth: int,
        on_progress: Progress,
    ) -> Iterator[UnifiedRetriever]:
        """A retriever over the corpus; see `System.over`."""
        with UnifiedRetriever(
            self.model,
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
            check_nothing_else(retriever.count(), report.passages, index=index)
            yield retriever

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


def check_nothing_else(held: int, wanted: int, *, index: Path) -> None:
    """Raise `DataError` where an index holds other passages than those of one corpus.

    Args:
        held: passages in the index.
        wanted: passages of the corpus, all of them in the index.
        index: its folder, for the message.
    """
    if held != wanted:
        raise DataError(
            f"the index at {index} holds {held} passages, {held - wanted} of them not from this "
            "corpus: give each data set an index of its own"
        )
