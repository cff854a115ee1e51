"""Ingestion: documents to stored passages, resumable at any point.

A passage's id is a hash of its content, so a passage that is stored already costs a look-up and
nothing else: indexing twice changes nothing, and a killed run goes on where it was. While the model
works on some passages, the next are read, cut and tokenised, and those before them stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.retrieval.metadata import check_metadata, clean
from unimoer_rag.retrieval.problems import Problem
from unimoer_rag.retrieval.replacing import Replaced, of_files
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import Record, Store
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document, Passage

__all__ = ["AddReport", "Embed", "Embedded", "OnReport", "clean_document", "ingest"]


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

OnReport = Callable[["AddReport"], None]

# Passages embedded and stored together: enough to fill batches of one length, few enough that a
# killed run loses seconds of work.
_BATCH = 256
# And this many characters: a passage that is kept whole may be a book.
_BATCH_CHARACTERS = 4_000_000


@dataclass(slots=True)
class AddReport:
    """What adding documents did.

    Attributes:
        documents: documents read.
        added: passages embedded and stored.
        unchanged: passages that were stored already.
        removed: passages of changed documents that no longer exist.
        truncated: passages too long for the model, embedded by their beginning.
        problems: what could not be read, and why; earlier passages of it are kept, unless
            it is empty.
        skipped: entries of a folder passed over, by kind.
        notes: how files were read where that is worth a look: an encoding that was guessed, pages
            without text, metadata of rows that no index can filter by.
        reading: the page that is read by OCR just now, which takes seconds; "" at other times.
    """

    documents: int = 0
    added: int = 0
    unchanged: int = 0
    removed: int = 0
    truncated: int = 0
    problems: list[Problem] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    notes: list[Problem] = field(default_factory=list)
    reading: str = ""

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
    within: Collection[str] = (),
    on_progress: OnReport = lambda report: None,
) -> AddReport:
    """Cut, embed and store documents; drop what changed documents no longer say.

    A document takes the place of its earlier version; `retrieval.replacing` tells which that is.

    Args:
        documents: what to add.
        split: cuts a document into passages.
        embed: begins to make the passages' vectors, and gives what waits for them.
        store: keeps.
        encoder: weighs the terms of the sparse vectors.
        report: updated as it goes, so that an interrupted run has told what it did.
        replace: drop what the documents said before. In an index that holds something, it takes
            some hundred bytes of memory for every passage given; without it memory does not grow.
        within: drop, too, what the index holds of these folders or files, as sources name them,
            and the documents do not give; but not of files that could not be read. Files that are
            empty now lose theirs in any case.
        on_progress: called with the report after every batch.

    Raises:
        StoreError: the store failed; what was stored before is kept.
    """
    replaced = Replaced(store, within=within) if replace and store.count() else None

    def begin(batch: Sequence[Passage], ahead: _Begun | None) -> _Begun:
        if replaced is not None:
            replaced.meet(batch)
        waiting = {} if ahead is None else {passage.id: passage for passage in ahead.new}
        new = _new(batch, store, waiting, report)
        return _Begun(new, embed([passage.content for passage in new]) if new else None)

    for begun in _one_ahead(_batches(_passages(documents, split, report)), begin):
        _store(begun, store, encoder, report)
        on_progress(report)
    if replaced is not None:
        unread = [problem.path for problem in report.problems if not problem.empty]
        emptied = [problem.path for problem in report.problems if problem.empty]
        report.removed += replaced.remove(unread, emptied)
        held = {label.source for label in of_files(store, unread)}
        report.problems[:] = [
            problem.with_earlier_text() if problem.path in held else problem
            for problem in report.problems
        ]
    store.optimize()
    store.flush()
    report.reading = ""  # of the last, in which nothing was found
    on_progress(report)
    return report


def _passages(
    documents: Iterable[Document],
    split: Callable[[Document], Sequence[Passage]],
    report: AddReport,
) -> Iterator[Passage]:
    for document in map(clean_document, documents):
        report.reading = ""
        passages = split(document)
        for note in document.notes:
            report.notes.append(Problem(document.source, f"{document.source}: {note}", note))
        if not passages:
            reason = f"{document.source} holds no words, so nothing of it was indexed"
            report.problems.append(Problem(document.source, reason, empty=bool(document.origin)))
        yield from passages
        report.documents += 1  # of a long one, when it is through


def clean_document(document: Document) -> Document:
    """The document as a store will give it back: no lone surrogates, no tuples.

    Raises:
        InputError: its metadata cannot be stored, which is told before it is embedded.
    """
    source, metadata = clean_text(document.source), clean(document.metadata)
    check_metadata(metadata, source)
    return changed(
        document,
        text=clean_text(document.text),
        source=source,
        title=clean_text(document.title),
        metadata=metadata,
        document_id=clean_text(document.document_id),
        origin=clean_text(document.origin),
    )


def _batches(passages: Iterator[Passage]) -> Iterator[list[Passage]]:
    batch: list[Passage] = []
    room = _BATCH_CHARACTERS
    for passage in passages:
        if batch and len(passage.content) > room:
            yield batch
            batch, room = [], _BATCH_CHARACTERS
        batch.append(passage)
        room -= len(passage.content)
        if len(batch) == _BATCH:
            yield batch
            batch, room = [], _BATCH_CHARACTERS
    if batch:
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
