"""What an index holds, without the model that made it: listing, removing, comparing with files."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.ingest import clean_document
from unimoer_rag.retrieval.problems import Problem
from unimoer_rag.retrieval.replacing import lies_within
from unimoer_rag.retrieval.sources import Corpus
from unimoer_rag.retrieval.store import Label, Store
from unimoer_rag.retrieval.types import Document

__all__ = ["Holding", "Status", "compare", "holdings", "remove"]

_CLOSE = 0.66  # likeness of names of which one may be a slip of the other


@dataclass(frozen=True, slots=True)
class Holding:
    """A file that an index holds, or a source that was added by itself.

    Attributes:
        name: of the file, as sources name it, or the source.
        documents: how many: a JSONL file has one a row.
        passages: of all of them.
    """

    name: str
    documents: int
    passages: int


def holdings(store: Store, names: Sequence[str] = ()) -> list[Holding]:
    """What an index holds, by name; goes through all of it.

    Args:
        store: the index.
        names: only these files, folders and sources; globs where they hold "*", "?" or "[".
            None for all.
    """
    documents: dict[str, set[tuple[str, str]]] = defaultdict(set)
    passages: dict[str, int] = defaultdict(int)
    for label in store.labels():
        if not names or any(_is_meant(label, name) for name in names):
            name = label.file or label.source
            documents[name].add((label.source, label.document_id))
            passages[name] += 1
    return [Holding(name, len(documents[name]), passages[name]) for name in sorted(documents)]


def remove(store: Store, names: Sequence[str]) -> list[Holding]:
    """Remove files, folders and sources by name or glob; tells what went.

    Raises:
        InputError: the index holds nothing of one of the names; nothing is removed then.
    """
    meant: dict[str, list[str]] = {name: [] for name in names}
    there: set[str] = set()
    for label in store.labels():
        there.add(label.file or label.source)
        for name, ids in meant.items():
            if _is_meant(label, name):
                ids.append(label.id)
    for name, ids in meant.items():
        if not ids:
            near = _near(name, there)
            hint = f"did you mean {' or '.join(near)}?" if near else "see `unimoer-rag docs ls`"
            raise InputError(f"the index holds nothing of {name!r}: {hint}")
    gone = holdings(store, names)
    store.delete(sorted({id for ids in meant.values() for id in ids}))
    store.flush()
    return gone


def _near(name: str, there: Iterable[str]) -> list[str]:
    """What of an index has nearly this name, nearest first; folders too."""
    # By the last part without its suffix: what is around it is the same for all of a folder.
    by_stem: dict[str, set[str]] = defaultdict(set)
    for one in there:
        parts = one.split("/")
        for n in range(1, len(parts) + 1):
            by_stem[_stem(parts[n - 1])].add("/".join(parts[:n]))
    typed = _stem(name.rstrip("/").rpartition("/")[2])
    stems = difflib.get_close_matches(typed, by_stem, n=len(by_stem) or 1, cutoff=_CLOSE)
    close = sorted({one for stem in stems for one in by_stem[stem]})
    return difflib.get_close_matches(name, close, n=3, cutoff=0)


def _stem(part: str) -> str:
    return part.rpartition(".")[0] or part


def _is_meant(label: Label, name: str) -> bool:
    name = name.rstrip("/") or name
    if name in (label.source, label.file) or lies_within(label.file, name):
        return True
    if not any(sign in name for sign in "*?["):
        return False
    return fnmatchcase(label.file or label.source, name)


@dataclass(frozen=True, slots=True)
class Status:
    """How an index compares with a path; each holds names of files.

    Attributes:
        new: not in the index.
        changed: the index holds another version; of a JSONL file, other rows; of a file that is
            empty now, any.
        unchanged: as the index holds it.
        gone: only in the index: no longer at the path, or left out.
        problems: what could not be read.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    gone: tuple[str, ...]
    problems: tuple[Problem, ...]


class _Span(NamedTuple):
    """What a stored passage says of its document, in a hundred bytes."""

    source: str
    document_id: str
    start: int
    end: int
    digest: bytes


def compare(store: Store, corpus: Corpus) -> Status:
    """Compare an index with what there is at a path; reads both, and needs no model."""
    held: dict[str, set[_Span]] = defaultdict(set)
    for passage in store.scroll():
        file = Label.of(passage).file
        if lies_within(file, *corpus.within):
            digest = _digest(passage.text, passage.title, passage.metadata)
            key = (passage.source, passage.document_id)
            held[file].add(_Span(*key, passage.start, passage.end, digest))
    left = {file: set(spans) for file, spans in held.items()}
    by_document = {file: _by_document(spans) for file, spans in held.items()}
    given: set[str] = set()
    differing: set[str] = set()
    problems: list[Problem] = []
    for document in map(clean_document, corpus.documents(on_error=problems.append)):
        file = document.origin
        given.add(file)
        known = by_document.get(file, {}).get((document.source, document.document_id), [])
        same = [span for span in known if _says(document, span)]
        if not _is_whole(document.text, same):
            differing.add(file)
        left.get(file, set()).difference_update(same)
    failed = {problem.path for problem in problems if not problem.empty}
    failed |= {path.rpartition(":")[0] for path in failed} - {""}
    differing |= {file for file in given if left.get(file) and file not in failed}
    emptied = held.keys() & {source for source, _ in corpus.files} - given - failed
    left_over = held.keys() - given - emptied
    gone = (f for f in left_over if not any(lies_within(f, name) for name in failed))
    return Status(
        new=tuple(sorted(given - held.keys())),
        changed=tuple(sorted(differing & held.keys() | emptied)),
        unchanged=tuple(sorted((given & held.keys()) - differing)),
        gone=tuple(sorted(gone)),
        problems=tuple(_with_earlier_text(problem, held) for problem in problems),
    )


def _with_earlier_text(problem: Problem, held: Iterable[str]) -> Problem:
    kept = not problem.empty and any(lies_within(file, problem.path) for file in held)
    return problem.with_earlier_text() if kept else problem


def _by_document(spans: Iterable[_Span]) -> dict[tuple[str, str], list[_Span]]:
    documents: dict[tuple[str, str], list[_Span]] = defaultdict(list)
    for span in sorted(spans):
        documents[span.source, span.document_id].append(span)
    return documents


def _digest(text: str, title: str, metadata: Mapping[str, object]) -> bytes:
    content = json.dumps([text, title, dict(metadata)], sort_keys=True)
    return hashlib.sha256(content.encode()).digest()


def _says(document: Document, span: _Span) -> bool:
    text = document.text[span.start : span.end]
    return _digest(text, document.title, document.metadata) == span.digest


def _is_whole(text: str, spans: Iterable[_Span]) -> bool:
    """Whether spans, in order, leave out nothing but white space."""
    reached = 0
    for span in spans:
        if text[reached : span.start].strip():
            return False
        reached = max(reached, span.end)
    return not text[reached:].strip()
