"""The passages of a file: in memory, or on disk where there are many."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

from unimoer_rag.data.disk_corpus import DiskCorpus
from unimoer_rag.data.lines import malformed, reading
from unimoer_rag.data.tables import Files, as_files, table_rows
from unimoer_rag.errors import DataError
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Document

__all__ = [
    "IN_MEMORY",
    "Passages",
    "Placed",
    "beir_passages",
    "cache_folder",
    "joined_passages",
    "keep_corpus",
    "open_corpus",
    "read_corpus",
]

IN_MEMORY = 200_000
"""Passages of a corpus that is held in memory, about 300 MB of Wikipedia; more go to disk."""

Passages = Callable[[Path], Iterator[tuple[int, Document]]]
"""Reads a file: the line and the passage of each, which has its id as source."""

Placed = tuple[Path, int, Document]
"""A passage with the file and the line where it stands."""

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
    files: Files,
    passages: Passages,
    *,
    cache: Path | None = None,
    in_memory: int | None = None,
    on_progress: Progress = silent,
) -> Mapping[str, Document]:
    """The passages of a file: a dictionary, or a `DiskCorpus` where there are many.

    Args:
        files: the file, or its parts.
        passages: reads it, one passage after the other; `beir_passages`, or one of `formats`.
        cache: where the passages of a large file are kept, for the next time too; see
            `cache_folder`.
        in_memory: most passages to hold in memory; by default `IN_MEMORY`.
        on_progress: called with "storing passages" and how many are.

    Raises:
        DataError: the file cannot be read, a line is malformed, an id comes twice, or there are
            no passages.
    """
    return keep_corpus(
        _placed(files, passages),
        stored=cache_folder("corpora", cache) / f"{_name(as_files(files), passages)}.sqlite",
        stamp="".join(map(_stamp, as_files(files))),
        source=str(as_files(files)[0]),
        in_memory=in_memory,
        on_progress=on_progress,
    )


def keep_corpus(
    placed: Iterable[Placed],
    *,
    stored: Path,
    stamp: str,
    source: str,
    in_memory: int | None = None,
    on_progress: Progress = silent,
) -> Mapping[str, Document]:
    """Passages of any source as `open_corpus` keeps them.

    Args:
        placed: the passages, each with where it stands; read only where they are not stored.
        stored: the file of a `DiskCorpus`, where there are many.
        stamp: says what they are made of.
        source: names it, for messages.
        in_memory: see `open_corpus`.
        on_progress: see `open_corpus`.

    Raises:
        DataError: see `open_corpus`.
    """
    in_memory = IN_MEMORY if in_memory is None else in_memory
    kept = DiskCorpus.find(stored, stamp=stamp)
    if kept is not None:
        return kept
    rest = iter(placed)
    corpus = _by_id(source, islice(rest, in_memory + 1))
    if len(corpus) <= in_memory:
        return corpus
    many = chain(corpus.values(), (document for _, _, document in rest))
    return DiskCorpus.build(stored, _told(many, on_progress), stamp=stamp)


def read_corpus(files: Files, passages: Passages) -> dict[str, Document]:
    """The passages of a file that fit into memory.

    Args:
        files: the file, or its parts.
        passages: reads it; see `open_corpus`.

    Raises:
        DataError: see `open_corpus`.
    """
    return _by_id(str(as_files(files)[0]), _placed(files, passages))


def _placed(files: Files, passages: Passages) -> Iterator[Placed]:
    for path in as_files(files):
        for number, document in passages(path):
            yield path, number, document


def _by_id(source: str, placed: Iterable[Placed]) -> dict[str, Document]:
    corpus: dict[str, Document] = {}
    for path, number, document in placed:
        if document.source in corpus:
            raise malformed(path, number, f"id {document.source!r} a second time", "unique ids")
        corpus[document.source] = document
    if not corpus:
        raise DataError(f"{source} is empty: expected passages, one a line")
    return corpus


def beir_passages(path: Path) -> Iterator[tuple[int, Document]]:
    """Documents of a table: BEIR's `corpus.jsonl`, the Hub's Parquet files of it, or BRIGHT's."""
    for row in table_rows(path):
        title = row.text("title", default="")
        doc_id = row.id(row.first("_id", "id"))
        yield (
            row.number,
            Document(text=row.text(row.first("text", "content")), source=doc_id, title=title),
        )


def joined_passages(path: Path) -> Iterator[tuple[int, Document]]:
    """`beir_passages` as BEIR hands them to a model: title, space and text are one text."""
    for number, document in beir_passages(path):
        text = f"{document.title} {document.text}".strip() if document.title else document.text
        yield number, Document(text=text, source=document.source)


def _told(documents: Iterator[Document], on_progress: Progress) -> Iterator[Document]:
    for n, document in enumerate(documents, start=1):
        yield document
        if n % _TOLD_EVERY == 0:
            on_progress("storing passages", n, 0)


def _name(files: Sequence[Path], passages: Passages) -> str:
    """Of the stored file: one for each place, so that a changed file replaces what it was."""
    places = "\n".join(str(path.absolute()) for path in files)
    # A reader that joins titles makes other passages of the same file.
    reader = "\njoined" if passages is joined_passages else ""
    digest = hashlib.sha256((places + reader).encode()).hexdigest()[:16]
    return f"{files[0].name}-{digest}"


def _stamp(path: Path) -> str:
    """What tells a file from a changed one."""
    with reading(path):
        found = path.stat()
    return f":{found.st_size}:{found.st_mtime_ns}"
