"""MS MARCO's own files of passages.

| file | rows |
|---|---|
| `collection.tsv` (version 1) | `pid`, `passage`, parted by a tab |
| `msmarco_v2_passage.tar` (version 2) | gzipped JSONL files: `{"pid", "passage", ...}` |
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from unimoer_rag.data.file_rows import FileRow
from unimoer_rag.data.lines import cleaned, malformed, numbered_lines, reading, whole_lines
from unimoer_rag.errors import DataError
from unimoer_rag.json_lines import json_object
from unimoer_rag.retrieval import Document, clean_text

__all__ = ["msmarco_passages"]


def msmarco_passages(path: Path) -> Iterator[tuple[int, Document]]:
    """The passages of either version; the second is read out of its archive, never unpacked.

    Raises:
        DataError: the file cannot be read, is damaged, or a row is malformed.
    """
    return _packed(path) if path.suffix == ".tar" else _collection(path)


def _collection(path: Path) -> Iterator[tuple[int, Document]]:
    for number, line in numbered_lines(path):
        pid, tab, text = line.partition("\t")
        if not pid or not tab:
            raise malformed(path, number, repr(line), "an id, a tab and a passage")
        yield number, Document(text=clean_text(text), source=clean_text(pid))


def _packed(path: Path) -> Iterator[tuple[int, Document]]:
    number = 0
    try:
        with reading(path), tarfile.open(path, "r:") as archive:
            for entry in archive:
                packed = archive.extractfile(entry) if entry.name.endswith(".gz") else None
                if packed is None:
                    continue
                with gzip.open(packed, "rb") as lines:
                    for line in whole_lines(cast("IO[bytes]", lines), path):
                        number += 1
                        what = f"{path}, {entry.name}, line {line.number}"
                        row = FileRow(path, number, cleaned(json_object(line.content, what=what)))
                        yield number, Document(text=row.text("passage"), source=row.id("pid"))
    except tarfile.TarError as error:
        raise DataError(f"{path}: a damaged tar archive ({error})") from error
