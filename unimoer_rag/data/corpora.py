"""The passages of a file: in memory, or on disk where there are many."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path

from unimoer_rag.data.disk_corpus import DiskCorpus
from unimoer_rag.data.file_rows import json_rows
from unimoer_rag.data.lines import (
    malformed,
    reading,
)
from unimoer_rag.errors import DataError
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Document

__all__ = [
    "IN_MEMORY",
    "Passages",
    "beir_passages",
    "cache_folder",
    "open_corpus",
    "read_corpus",
]

IN_MEMORY = 200_000
"""Passages of a corpus that is held in memory, about 300 MB of Wikipedia; more go to disk."""

Passages = Callable[[Path], Iterator[tuple[int, Document]]]
"""Reads a file: the line and the passage of each, which has its id as source."""

_TOLD_EVERY = 10_000


def cache_folder(subfolder: str, cache: Path | None) -> Path:
    """Where files made or downloaded here are kept: with those of the Hugging Face Hub.

    Args:
        subfolder: of ours in it.
        cache: in place of `$HF_HOME/assets` (`HF_ASSETS_CACHE`).
    """
    from huggingface_hub import constants

    # As `huggingface_hub.cached_assets_path` lays it out, which would make the folder at once.
    assets = Path(cache or constants.HF_ASSETS_CACHE).expanduser()
    return assets / "unimoer-rag" / "datasets" / subfolder


def open_corpus(
    path: Path,
    passages: Passages,
    *,
    cache: Path | None = None,
    in_memory: int | None = None,
    on_progress: Progress = silent,
) -> Mapping[str, Document]:
    """The passages of a file: a dictionary, or a `DiskCorpus` where there are many.

    Args:
        path: the file.
        passages: reads it, one passage after the other; `beir_passages`, or one of `formats`.
        cache: where the passages of a large file are kept, for the next time too; see
            `cache_folder`.
        in_memory: most passages to hold in memory; by default `IN_MEMORY`.
        on_progress: called with "storing passages" and how many are.

    Raises:
        DataError: the file cannot be read, a line is malformed, an id comes twice, or there are
            no passages.
    """
    in_memory = IN_MEMORY if in_memory is None else in_memory
    stored = cache_folder("corpora", cache) / f"{_name(path)}.sqlite"
    stamp = _stamp(path)
    kept = DiskCorpus.find(stored, stamp=stamp)
    if kept is not None:
        return kept
    numbered = passages(path)
    corpus = _by_id(path, islice(numbered, in_memory + 1))
    if len(corpus) <= in_memory:
        return corpus
    many = chain(corpus.values(), (document for _, document in numbered))
    return DiskCorpus.build(stored, _told(many, on_progress), stamp=stamp)


def read_corpus(path: Path, passages: Passages) -> dict[str, Document]:
    """The passages of a file that fit into memory.

    Args:
        path: the file.
        passages: reads it; see `open_corpus`.

    Raises:
        DataError: see `open_corpus`.
    """
    return _by_id(path, passages(path))


def _by_id(path: Path, numbered: Iterator[tuple[int, Document]]) -> dict[str, Document]:
    corpus: dict[str, Document] = {}
    for number, document in numbered:
        if document.source in corpus:
            raise malformed(path, number, f"id {document.source!r} a second time", "unique ids")
        corpus[document.source] = document
    if not corpus:
        raise DataError(f"{path} is empty: expected passages, one a line")
    return corpus


def beir_passages(path: Path) -> Iterator[tuple[int, Document]]:
    """Documents of BEIR's `corpus.jsonl`."""
    for row in json_rows(path):
        title = row.text("title", default="")
        yield row.number, Document(text=row.text(), source=row.id(), title=title)


def _told(documents: Iterator[Document], on_progress: Progress) -> Iterator[Document]:
    for n, document in enumerate(documents, start=1):
        yield document
        if n % _TOLD_EVERY == 0:
            on_progress("storing passages", n, 0)


def _name(path: Path) -> str:
    """Of the stored file: one for each place, so that a changed file replaces what it was."""
    place = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    return f"{path.name}-{place}"


def _stamp(path: Path) -> str:
    """What tells a file from a changed one."""
    with reading(path):
        found = path.stat()
    return f":{found.st_size}:{found.st_mtime_ns}"
