"""What documents given again no longer say, so that it can go, and nothing else with it.

A source's name is not a document: a corpus, a wiki or a mail box names thousands. Which stored
passages a document takes the place of:

| the document | takes the place of what the index has |
|---|---|
| of a file | of the same file |
| a row whose source is its own (`_id`, `id`, or the line) | from this source and file |
| a row with an id within its source | with this source and id from the same file |
| a row with a shared source and no id | of the rows of this file and source that have none |
| added with a `document_id` | with this source and id |
| added without | from this source under the same title |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.store import Label, Store
from unimoer_rag.retrieval.types import Passage

__all__ = ["Replaced", "check_not_all", "lies_within", "of_files"]

_BATCH = 256  # sources, ids or passages in one request

_T = TypeVar("_T")


class _Document(NamedTuple):
    """What tells a document from others; the title where nothing else does."""

    source: str
    document_id: str
    origin: str
    title: str | None

    @classmethod
    def of(cls, passage: Passage) -> _Document:
        named = passage.document_id or passage.origin
        title = None if named else passage.title
        return cls(passage.source, passage.document_id, passage.origin, title)

    def replaces(self, label: Label) -> bool:
        """Whether a stored passage is of an earlier version of this document."""
        if (self.source, self.document_id) != (label.source, label.document_id):
            return False
        if self.title is not None:  # added by itself: in place of its like, or of a file so named
            return self.title == label.title if not label.origin else label.origin == self.source
        # What an early index holds names no origin.
        return label.origin == self.origin or (not label.origin and not self.document_id)


class Replaced:
    """Finds what the documents of one run leave behind; it takes some 100 bytes a passage.

    Args:
        store: the index, as it was before the run.
        within: folders or files as sources name them: what the index holds of them and the run
            does not give goes too. None for nothing more than the documents' own earlier passages.
    """

    def __init__(self, store: Store, *, within: Collection[str] = ()) -> None:
        self._store, self._within = store, within
        self._seen: set[_Document] = set()
        self._given: set[int] = set()
        self._stale: set[str] = set()

    def meet(self, batch: Sequence[Passage]) -> None:
        """Note passages of the run, before they are stored."""
        self._given.update(UUID(passage.id).int for passage in batch)
        new = {_Document.of(passage) for passage in batch} - self._seen
        self._seen |= new
        named: dict[tuple[str, str], list[_Document]] = {}
        for document in new:
            named.setdefault((document.source, document.document_id), []).append(document)
        for label in self._labels(named):
            known = named.get((label.source, label.document_id), ())
            if any(document.replaces(label) for document in known):
                self._stale.add(label.id)
        self._stale.update(self._early(batch))

    def _labels(self, named: Collection[tuple[str, str]]) -> Iterator[Label]:
        alone = {source for source, document_id in named if not document_id}
        for some in _batches(sorted(alone)):
            yield from self._store.labels(sources=some)
        within = sorted(pair for pair in named if pair[1])
        for pairs in _batches(within):
            sources, ids = ({pair[at] for pair in pairs} for at in (0, 1))
            yield from self._store.labels(sources=sorted(sources), document_ids=sorted(ids))

    def _early(self, batch: Sequence[Passage]) -> Iterator[str]:
        """The same passages as an early index holds them, which knew no ids within a source."""
        before = {p.id: p for p in (replace(p, document_id="") for p in batch if p.document_id)}
        for passage in self._store.get(list(before)):
            if passage == before[passage.id] and not passage.origin:
                yield passage.id

    def remove(self, kept: Iterable[str] = (), emptied: Iterable[str] = ()) -> int:
        """Remove what was left behind, and tell how many passages that were.

        Args:
            kept: files and folders, as sources name them, whose passages stay because they could
                not be read; with ":" and a number, lines of a file.
            emptied: files that were read and say nothing any more.
        """
        self._stale.update(label.id for label in of_files(self._store, emptied))
        stale = {id for id in self._stale if UUID(id).int not in self._given}
        if self._within:
            stale.update(self._gone(self._within, frozenset(kept)))
        return sum(self._store.delete(some) for some in _batches(sorted(stale)))

    def _gone(self, within: Collection[str], kept: frozenset[str]) -> Iterator[str]:
        files = {file.rpartition(":")[0] for file in kept} | kept
        for label in self._store.labels():
            if UUID(label.id).int in self._given or not lies_within(label.file, *within):
                continue
            if not any(lies_within(label.file, file) for file in files if file):
                yield label.id


def of_files(store: Store, files: Iterable[str]) -> Iterator[Label]:
    """What an index holds of files, less the rows of JSONL files."""
    for some in _batches(sorted(set(files))):
        yield from (label for label in store.labels(sources=some) if label.file == label.source)


def check_not_all(store: Store, within: Sequence[str], path: str | Path) -> None:
    """Refuse to take a path without documents for one whose documents were all removed.

    Raises:
        InputError: the index holds documents of it: it may be a disk that is not mounted.
    """
    if any(lies_within(label.file, *within) for label in store.labels()):
        raise InputError(
            f"{path} holds no documents, the index has some of it: is a disk not mounted, or are "
            f"all left out? To remove them, use `unimoer-rag docs rm {' '.join(within)}`"
        )


def lies_within(file: str, *names: str) -> bool:
    """Whether a file is one of those named, or below a folder of such a name."""
    return bool(file) and any(file == name or file.startswith(f"{name}/") for name in names)


def _batches(values: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(values)
    while some := list(islice(left, _BATCH)):
        yield some
