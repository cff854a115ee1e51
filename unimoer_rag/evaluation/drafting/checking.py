"""What speaks against a drafted question: nobody finds its passage, or its answer there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from unimoer_rag.data import Draft, plain
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation.answers import f1
from unimoer_rag.evaluation.systems import Unified, corpus_in_index
from unimoer_rag.model import UniMoER, is_untrained
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Document, Passage, UnifiedRetriever

__all__ = ["FIRST", "Checker", "checking"]

FIRST = 10
"""Among so many results of BM25 and vectors, fused, a question's passage has to be."""

_RECOVERED = 0.5  # F1 with an accepted answer


class Checker:
    """Tells what speaks against drafts.

    Args:
        retriever: over the passages, each under its id.
        corpus: id -> passage.
    """

    def __init__(self, retriever: UnifiedRetriever, corpus: Mapping[str, Passage]) -> None:
        self._retriever, self._corpus = retriever, corpus
        model = retriever.model
        self._engine = Engine.of(model)
        self.reads = "read" in model.tasks and not is_untrained(model, "read")

    def doubts(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The drafts with their doubts, in their order."""
        texts = [draft.question for draft in drafts]
        found = self._retriever.search_batch(texts, k=FIRST, rerank=0, mode="hybrid")
        checked = []
        for draft, hits in zip(drafts, found, strict=True):
            wanted = plain(draft.passage)
            doubts = []
            if not any(h.source == draft.held_by or wanted in plain(h.text) for h in hits):
                doubts.append(f"its passage is not among the first {FIRST} that are found")
            doubts += self._unread(draft)
            checked.append(replace(draft, doubts=tuple(doubts)))
        return checked

    def _unread(self, draft: Draft) -> list[str]:
        if not (self.reads and draft.answers):
            return []
        [best] = self._engine.read(draft.question, [self._corpus[draft.held_by].text])
        if f1(best.text, draft.answers) >= _RECOVERED:
            return []
        said = " ".join(best.text.split())
        return [
            f"the reader takes {said!r} out of its passage"
            if said
            else "the reader finds no answer in its passage"
        ]


@contextmanager
def checking(
    model: UniMoER,
    corpus: Mapping[str, Passage],
    documents: Mapping[str, Document],
    *,
    index: Path,
    on_progress: Progress = silent,
) -> Iterator[Checker]:
    """A checker over passages, which are indexed in a folder.

    Args:
        model: finds and reads.
        corpus: id -> passage.
        documents: the same as documents, each whole.
        index: the folder; what it holds already is not encoded again.
        on_progress: called with "indexing", what is done and its size.
    """
    with corpus_in_index(
        Unified(model),
        documents,
        index=index,
        first_stage="hybrid",
        depth=FIRST,
        on_progress=on_progress,
    ) as retriever:
        yield Checker(retriever, corpus)
