"""Paths into documents: a file, a folder, a JSONL file or a BEIR folder.

```python
corpus = scan("handbook")
problems: list[Problem] = []
for document in corpus.documents(on_error=problems.append):
    ...  # len(corpus) is how many documents and problems come, for a progress bar
```
"""

from __future__ import annotations

import gzip
import json
import math
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.readers import READERS, read_document
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document, Scalar

__all__ = ["Corpus", "Problem", "iter_documents", "scan"]

_BEIR_CORPORA = ("corpus.jsonl", "corpus.jsonl.gz")
_JSONL = (".jsonl", ".jsonl.gz")
# What reading a truncated or damaged gzip file raises (BadGzipFile is an OSError).
_STREAM_ERRORS = (OSError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was passed over while the rest was read.

    Attributes:
        path: the file, as sources name it; with ":" and the line number inside a JSONL file.
        reason: a full sentence for people: what could not be read, why, and the remedy.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Corpus:
    """The documents below a path: what was found there, read when iterated.

    A file's source is its path relative to the folder given, behind that folder's own name:
    `handbook/refunds/eu.md`, with "/" on every system. People recognise it, and it does not
    depend on the working directory, on how the path was written or on where the folder lies on
    this machine, so indexing again finds the same passages. A file given by itself has the
    source that giving its folder would have given it. The price: two folders of one name share
    their sources' names.

    Attributes:
        files: the files to read with their sources, in order.
        precut: the documents are passages already (a BEIR corpus): keep each whole.
        skipped: how many entries of a folder were passed over, by kind: "hidden",
            "linked folder", "special file", or the suffix that no reader knows.
        problems: folders that could not be listed.
    """

    files: tuple[tuple[str, Path], ...]
    precut: bool = False
    skipped: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        """How many documents and problems iterating yields, if no file changes meanwhile.

        Counts the lines of JSONL files, which takes about a second for a million.
        """
        return self._n_units

    @cached_property
    def _n_units(self) -> int:
        n_lines = sum(_n_lines(path) for _, path in self.files if _is_jsonl(path))
        n_documents = sum(not _is_jsonl(path) for _, path in self.files)
        return n_lines + n_documents + len(self.problems)

    def documents(self, *, on_error: Callable[[Problem], None]) -> Iterator[Document]:
        """Yield the documents in order; report what cannot be read to `on_error` and go on."""
        for problem in self.problems:
            on_error(problem)
        for source, path in self.files:
            if _is_jsonl(path):
                yield from _read_jsonl(path, source, on_error)
                continue
            try:
                yield read_document(path, source=source)
            except ReadError as error:
                on_error(Problem(source, str(error)))


def iter_documents(path: str | Path, *, on_error: Callable[[Problem], None]) -> Iterator[Document]:
    """Scan a path and yield its documents; see `scan` and `Corpus.documents`.

    Raises:
        ReadError: at once, if nothing at `path` can be read.
    """
    return scan(path).documents(on_error=on_error)


def scan(path: str | Path) -> Corpus:
    """Find the files to read at a path, without reading them.

    A folder that holds `corpus.jsonl` or `corpus.jsonl.gz` is a BEIR data set: only that file is
    read. Other folders are walked to the bottom in sorted order. Hidden entries, links to folders
    (so no loop can be entered) and files that no reader knows are counted in `skipped`.

    Raises:
        ReadError: the path does not exist, or is a file of a kind that no reader knows.
    """
    path = Path(os.path.abspath(path))  # "." has no name; links are kept as the user wrote them
    if path.is_dir():
        beir = next((path / name for name in _BEIR_CORPORA if (path / name).is_file()), None)
        return _scan_folder(path) if beir is None else scan(beir)
    shown = clean_text(str(path))
    if not os.path.lexists(path):
        raise ReadError(f"cannot read {shown}: there is no such file or folder; check the path")
    if not _is_readable_kind(path):
        raise ReadError(
            f"cannot read {shown}: its suffix {path.suffix!r} is not one of "
            f"{', '.join((*READERS, *_JSONL))}; save it in one of these formats"
        )
    return Corpus(((_source(path, path.parent), path),), precut=path.name in _BEIR_CORPORA)


def _scan_folder(root: Path) -> Corpus:
    files: list[tuple[str, Path]] = []
    problems: list[Problem] = []
    skipped: Counter[str] = Counter()

    def unlistable(error: OSError) -> None:
        where = Path(error.filename)
        reason = f"cannot list {clean_text(str(where))}: {error.strerror}; make it readable"
        problems.append(Problem(_source(where, root), reason))

    for name, folder_names, file_names in os.walk(root, onerror=unlistable):
        folder = Path(name)
        for entry in list(folder_names):
            reason = "hidden" if entry.startswith(".") else "linked folder"
            if reason == "hidden" or (folder / entry).is_symlink():
                folder_names.remove(entry)
                skipped[reason] += 1
        for entry in file_names:
            path = folder / entry
            if entry.startswith("."):
                skipped["hidden"] += 1
            elif not _is_readable_kind(path):
                skipped[path.suffix.lower() or "no suffix"] += 1
            elif path.exists() and not path.is_file():
                skipped["special file"] += 1  # opening a pipe would wait for its writer
            else:
                files.append((_source(path, root), path))
    return Corpus(tuple(sorted(files)), False, dict(sorted(skipped.items())), tuple(problems))


def _source(path: Path, root: Path) -> str:
    return clean_text((Path(root.name) / path.relative_to(root)).as_posix())


def _is_jsonl(path: Path) -> bool:
    return path.name.lower().endswith(_JSONL)


def _is_readable_kind(path: Path) -> bool:
    return _is_jsonl(path) or path.suffix.lower() in READERS


# JSONL -------------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number the lines that are not blank; raises one of `_STREAM_ERRORS`."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _n_lines(path: Path) -> int:
    n = 0
    try:
        for _ in _lines(path):
            n += 1
    except _STREAM_ERRORS:
        n += 1  # the problem that reading it will report
    return n


def _read_jsonl(path: Path, source: str, on_error: Callable[[Problem], None]) -> Iterator[Document]:
    shown = clean_text(str(path))
    try:
        for number, line in _lines(path):
            try:
                document = _document(line, f"{source}:{number}")
            except (ValueError, RecursionError) as error:
                reason = f"cannot read line {number} of {shown}: {error}; correct or remove it"
                on_error(Problem(f"{source}:{number}", reason))
            else:
                yield document
    except _STREAM_ERRORS as error:
        reason = f"cannot read {shown} to its end: {error}; copy it again or correct its rights"
        on_error(Problem(source, reason))


def _document(line: bytes, default_source: str) -> Document:
    """Build the document of a line; what is wrong with it is a ValueError.

    The source is the value of `_id` (BEIR's key), else of `source`, else of `id`, else the file
    and line. Other keys, and those inside `metadata`, become metadata.
    """
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError(f'expected a JSON object with a "text", got {type(fields).__name__}')
    text, title = fields.pop("text", None), fields.pop("title", None) or ""
    for key, value in (("text", text), ("title", title)):
        if not isinstance(value, str):
            raise ValueError(f'expected a string as its "{key}", got {str(value)[:80]}')
    if not text.strip():
        text, title = title, ""  # BEIR corpora have titles without a text; their ids still count
    if not clean_text(text).strip():
        raise ValueError('it is empty: neither "text" nor "title" holds any text')
    source = default_source
    for key in ("_id", "source", "id"):
        value = fields.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            source = str(fields.pop(key))
            break
    nested = fields.pop("metadata", None)
    return Document(
        clean_text(text),
        clean_text(source),
        " ".join(clean_text(title).split()),
        _metadata({**fields, **(nested if isinstance(nested, dict) else {})}),
    )


def _metadata(fields: Mapping[str, Any]) -> dict[str, Scalar | list[str]]:
    """Keep what a store can filter by: no null, nested, infinite or beyond 64-bit value."""
    kept: dict[str, Scalar | list[str]] = {}
    for key, value in fields.items():
        if isinstance(value, str):
            kept[clean_text(key)] = clean_text(value)
        elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            kept[clean_text(key)] = [clean_text(item) for item in value]
        elif isinstance(value, int | float) and _is_storable(value):
            kept[clean_text(key)] = value
    return kept


def _is_storable(number: float) -> bool:
    return -(2**63) <= number < 2**63 if isinstance(number, int) else math.isfinite(number)
