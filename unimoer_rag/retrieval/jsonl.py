"""JSONL files into documents, a line at a time, each line and all that is unpacked bounded.

| key | becomes |
|---|---|
| `text` | the text |
| `title` | the title; the text, where there is none |
| `_id` (BEIR) | the source |
| `source` | the source, and `id` then tells the source's documents apart |
| `id` | the source, where neither is there |
| `metadata`, others | metadata: text, numbers, booleans, lists of text |

A row without any of the three names has the file and its line as its source. Other values of
metadata cannot be filtered by and are left out: null silently, the rest is told of.
"""

from __future__ import annotations

import gzip
import json
import math
import reprlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from unimoer_rag.json_lines import EndlessError, Line, UnboundedError, read_lines
from unimoer_rag.retrieval.limits import MAX_LINE_BYTES, in_mebibytes
from unimoer_rag.retrieval.problems import Problem
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document, Scalar

__all__ = ["SUFFIXES", "count_rows", "is_jsonl", "read_rows"]

SUFFIXES = (".jsonl", ".jsonl.gz")

_MAX_BLANK = 100_000  # lines in a row
# What is packed to less than this share of its size is no text that anyone wrote.
_MAX_RATIO, _ALWAYS_UNPACKED = 200, 64 << 20

Tell = Callable[[Problem], None]

# What reading a truncated or damaged gzip file raises (BadGzipFile is an OSError), or one that goes
# on without saying anything.
_STREAM_ERRORS = (OSError, EOFError, zlib.error, UnboundedError)


class _EmptyRowError(ValueError):
    """A row that was read and says nothing."""


def is_jsonl(path: Path) -> bool:
    """Whether a file's name is that of a JSONL file, packed or not."""
    return path.name.lower().endswith(SUFFIXES)


def count_rows(path: Path) -> int:
    """How many rows and problems `read_rows` gives; reads the file, about a million in a second."""
    n = 0
    try:
        for _ in _lines(path):
            n += 1
    except _STREAM_ERRORS:
        n += 1  # the problem that reading it will report
    return n


def read_rows(
    path: Path, file: str, on_error: Tell, *, on_note: Tell = lambda problem: None
) -> Iterator[Document]:
    """The documents of a file, in order; what cannot be read is reported and left out.

    Args:
        path: the file.
        file: what sources call it.
        on_error: called with each problem.
        on_note: called with each key whose values are left out, once.
    """
    shown = clean_text(str(path))
    told: set[str] = set()
    try:
        for line in _lines(path):
            place = f"{file}:{line.number}"
            try:
                document, refused = _document(line, file)
            except (ValueError, RecursionError) as error:
                reason = f"cannot read line {line.number} of {shown}: {error}; correct or remove it"
                kind = f"a line of {shown} cannot be read"
                empty = isinstance(error, _EmptyRowError)
                on_error(Problem(place, reason, kind, empty))
                continue
            for key in refused.keys() - told:
                told.add(key)
                on_note(_left_out(key, refused[key], shown, place))
            yield document
    except _STREAM_ERRORS as error:
        reason = f"cannot read {shown} to its end: {error}; copy it again or correct its rights"
        on_error(Problem(file, reason, "a file cannot be read to its end"))


def _lines(path: Path) -> Iterator[Line]:
    """The lines that are not blank.

    Raises:
        OSError, EOFError, zlib.error, UnboundedError: see `_STREAM_ERRORS`.
    """
    packed = path.name.lower().endswith(".gz")
    most = max(_ALWAYS_UNPACKED, _MAX_RATIO * path.stat().st_size) if packed else math.inf
    with cast("IO[bytes]", (gzip.open if packed else open)(path, "rb")) as stream:
        try:
            yield from read_lines(stream, longest=MAX_LINE_BYTES, most_blank=_MAX_BLANK, most=most)
        except EndlessError:
            raise UnboundedError(
                f"it unpacks to more than {_MAX_RATIO} times its size; if that is right, unpack "
                "it and give the .jsonl file"
            ) from None


def _left_out(key: str, value: object, shown: str, row: str) -> Problem:
    said = reprlib.repr(value)  # which may be nested deeply
    return Problem(
        row,
        f"the metadata {key!r} of {row.rpartition(':')[2]} in {shown} is left out, as in the rows "
        f"behind it: {said} is no text, finite 64-bit number, "
        "boolean or list of text under a name",
        f"metadata {key!r} is left out",
    )


def _document(line: Line, file: str) -> tuple[Document, dict[str, Any]]:
    """The document of a line, and the metadata that it cannot have.

    Raises:
        ValueError: what is wrong with the line.
    """
    if not line.whole:
        raise ValueError(
            f"it is longer than {in_mebibytes(MAX_LINE_BYTES)}, the most that a row may be"
        )
    fields = json.loads(line.content)  # not `json_object`: of metadata, what is odd is left out
    if not isinstance(fields, dict):
        raise ValueError(f'expected a JSON object with a "text", got {type(fields).__name__}')
    text, title = fields.pop("text", None), fields.pop("title", None) or ""
    for key, value in (("text", text), ("title", title)):
        if not isinstance(value, str):
            raise ValueError(f'expected a string as its "{key}", got {str(value)[:80]}')
    if not text.strip():
        text, title = title, ""  # BEIR corpora have titles without a text; their ids still count
    if not clean_text(text).strip():
        raise _EmptyRowError('it is empty: neither "text" nor "title" holds any text')
    source, document_id = _names(fields, file, line.number)
    nested = fields.pop("metadata", None)
    metadata, refused = _metadata({**fields, **(nested if isinstance(nested, dict) else {})})
    document = Document(
        clean_text(text),
        source,
        " ".join(clean_text(title).split()),
        metadata,
        document_id=document_id,
        origin=file,
    )
    return document, refused


def _names(fields: dict[str, Any], file: str, number: int) -> tuple[str, str]:
    """A row's source, which leaves its fields, and its id within it."""
    named = {key: _name(fields.get(key)) for key in ("_id", "source", "id")}
    key = next((key for key, name in named.items() if name), None)
    if key is None:
        return f"{file}:{number}", ""
    del fields[key]
    # A source that rows share names none of them: their ids do, or else their file.
    return named[key], (named["id"] or file) if key == "source" else ""


def _name(value: object) -> str:
    usable = isinstance(value, str | int) and not isinstance(value, bool)
    return clean_text(str(value)) if usable else ""


def _metadata(
    fields: Mapping[str, Any],
) -> tuple[dict[str, Scalar | list[str]], dict[str, Any]]:
    """What a store can filter by, and what it cannot: nested, infinite or beyond 64 bits."""
    kept: dict[str, Scalar | list[str]] = {}
    refused: dict[str, Any] = {}
    for key, value in fields.items():
        key = clean_text(key)
        if not key:
            refused[key] = value
        elif isinstance(value, str):
            kept[key] = clean_text(value)
        elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            kept[key] = [clean_text(item) for item in value]
        elif isinstance(value, int | float) and _is_storable(value):
            kept[key] = value
        elif value is not None and value != []:
            refused[key] = value
    return kept, refused


def _is_storable(number: float) -> bool:
    return -(2**63) <= number < 2**63 if isinstance(number, int) else math.isfinite(number)
