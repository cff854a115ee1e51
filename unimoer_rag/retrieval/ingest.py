"""Ingestion: documents to stored passages, resumable at any point.

A passage's id is a hash of its content, so a passage that is stored already costs a look-up and
nothing else: indexing twice changes nothing, and a killed run goes on where it was. While the model
works on some passages, the next are read, cut and tokenised, and those before them stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.retrieval.metadata import check_metadata, clean
from unimoer_rag.retrieval.sources import Problem
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import Record, Store
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document, Passage

__all__ = ["AddReport", "Embed", "Embedded", "Progress", "ingest"]


class Embedded(NamedTuple):
    """Texts as vectors.

    Attributes:
        vectors: float32 `[n, dimension]`; `[n, 0]` for an index without dense vectors.
        n_truncated: texts that were too long, embedded by their beginning.
        states: their token states, where the index keeps them.
    """

    vectors: NDArray[np.float32]
    n_truncated: int = 0
    states: Sequence[bytes] | None = None


Embed = Callable[[Sequence[str]], Callable[[], Embedded]]
"""Begins to embed texts; what it returns waits for it and gives it."""

Progress = Callable[["AddReport"], None]

# Passages embedded and stored together: enough to fill batches of one length, few enough that a
# killed run loses seconds of work.
_BATCH = 256


@dataclass(slots=True)
class AddReport:
    """What adding documents did.

    Attributes:
        documents: documents read.
        added: passages embedded and stored.
        unchanged: passages that were stored already.
        removed: passages of changed documents that no longer exist.
        truncated: passages too long for the model, embedded by their beginning.
        problems: what could not be read, and why; earlier passages of it are kept.
        skipped: entries of a folder passed over, by kind.
    """

    documents: int = 0
    added: int = 0
    unchanged: int = 0
    removed: int = 0
    truncated: int = 0
    problems: list[Problem] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def passages(self) -> int:
        """Passages of these documents that the index holds now."""
        return self.added + self.unchanged


def ingest(
    documents: Iterable[Document],
    split: Callable[[Document], Sequence[Passage]],
    *,
    embed: Embed,
    store: Store,
    encoder: BM25Encoder,
    report: AddReport,
    replace: bool = True,
    on_progress: Progress = lambda report: None,
) -> AddReport:
    """Cut, embed and store documents; drop what changed documents no longer say.

    All documents of one source belong together: those given now replace those given before.

    Args:
        documents: what to add.
        split: cuts a document into passages.
        embed: begins to make the passages' vectors, and gives what waits for them.
        store: keeps.
        encoder: weighs the terms of the sparse vectors.
        report: updated as it goes, so that an interrupted run has told what it did.
        replace: drop what these sources had before. In an index that holds something, it takes
            half a kilobyte of memory for every passage given; without it memory does not grow.
        on_progress: called with the report after every batch.

    Raises:
        StoreError: the store failed; what was stored before is kept.
    """
    # Only sources that were there before can have stale passages. They are looked up batch by
    # batch: asking for all of them would take as long as the index is large.
    current: dict[str, set[str]] = {}
    fresh: set[str] = set()
    replace = replace and store.count() > 0

    def begin(batch: Sequence[Passage], ahead: _Begun | None) -> _Begun:
        if replace:
            unknown = {passage.source for passage in batch} - current.keys() - fresh
            there = store.sources({"source": sorted(unknown)}) if unknown else {}
            fresh.update(unknown - there.keys())
            current.update({source: set() for source in there})
            for passage in batch:
                if passage.source in current:
                    current[passage.source].add(passage.id)
        waiting = {} if ahead is None else {passage.id: passage for passage in ahead.new}
        new = _new(batch, store, waiting, report)
        return _Begun(new, embed([passage.content for passage in new]) if new else None)

    for begun in _one_ahead(_batches(_passages(documents, split, report)), begin):
        _store(begun, store, encoder, report)
        on_progress(report)
    report.removed += _remove_stale(store, current)
    store.optimize()
    store.flush()
    on_progress(report)
    return report


def _passages(
    documents: Iterable[Document],
    split: Callable[[Document], Sequence[Passage]],
    report: AddReport,
) -> Iterator[Passage]:
    for document in map(_clean, documents):
        passages = split(document)
        report.documents += 1
        if not passages:
            reason = f"{document.source} holds no words, so nothing of it was indexed"
            report.problems.append(Problem(document.source, reason))
        yield from passages


def _clean(document: Document) -> Document:
    """The document as a store will give it back: no lone surrogates, no tuples.

    Raises:
        InputError: its metadata cannot be stored, which is told before it is embedded.
    """
    source, metadata = clean_text(document.source), clean(document.metadata)
    check_metadata(metadata, source)
    return Document(clean_text(document.text), source, clean_text(document.title), metadata)


def _batches(passages: Iterator[Passage]) -> Iterator[list[Passage]]:
    while batch := list(islice(passages, _BATCH)):
        yield batch


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch's passages that are not stored yet, and what waits for their vectors."""

    new: list[Passage]
    embedded: Callable[[], Embedded] | None


def _one_ahead(
    batches: Iterable[list[Passage]], begin: Callable[[list[Passage], _Begun | None], _Begun]
) -> Iterator[_Begun]:
    """Every batch, begun; each comes when the one behind it is begun too."""
    ahead: _Begun | None = None
    try:
        for batch in batches:
            begun = begin(batch, ahead)
            if ahead is not None:
                yield ahead
            ahead = begun
    except Exception:  # of reading the next documents: those before it are not lost
        if ahead is not None:
            yield ahead
        raise
    if ahead is not None:
        yield ahead


def _new(
    batch: Sequence[Passage], store: Store, waiting: Mapping[str, Passage], report: AddReport
) -> list[Passage]:
    """The passages that are neither stored nor waiting to be."""
    unique = {passage.id: passage for passage in batch}
    present = {passage.id: passage for passage in store.get(list(unique))} | dict(waiting)
    # Compared whole: the id leaves the metadata out, which may have changed.
    new = [passage for key, passage in unique.items() if present.get(key) != passage]
    report.unchanged += len(unique) - len(new)
    return new


def _store(begun: _Begun, store: Store, encoder: BM25Encoder, report: AddReport) -> None:
    if begun.embedded is None:
        return
    new, embedded = begun.new, begun.embedded()
    states = [b""] * len(new) if embedded.states is None else embedded.states
    store.upsert(
        Record(passage, vector, encoder.document(passage.content), packed)
        for passage, vector, packed in zip(new, embedded.vectors, states, strict=True)
    )
    store.flush()
    report.added += len(new)
    report.truncated += embedded.n_truncated


def _remove_stale(store: Store, current: Mapping[str, set[str]]) -> int:
    """Remove what these sources have beside their current passages."""
    removed = 0
    sources = iter(current)
    while some := list(islice(sources, _BATCH)):
        found = store.scroll({"source": some})
        stale = [passage.id for passage in found if passage.id not in current[passage.source]]
        removed += store.delete(stale) if stale else 0
    return removed
