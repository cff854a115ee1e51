"""`unimoer.json`: the file that makes a folder an index and says what it was built with.

| key | value |
|---|---|
| `format` | "unimoer-index" |
| `version` | 1 |
| `ready` | false until the engine's files are complete |
| `dimension` | length of the dense vectors; 0 where there are none |
| `quantization` | "int8", "binary" or null |
| `passages` | how many there were when last flushed; null while changes are being written |
| `identity` | what the index was built with (checkpoint digest, chunking), or null |
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unimoer_rag.errors import IndexCorruptError, InputError
from unimoer_rag.files import write_file
from unimoer_rag.retrieval.store.quantization import Quantization, check_quantization

__all__ = ["MANIFEST_NAME", "Manifest", "is_index", "read_manifest", "write_manifest"]

MANIFEST_NAME = "unimoer.json"
_FORMAT, _VERSION = "unimoer-index", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The contents of `unimoer.json`; the table above explains them."""

    dimension: int
    quantization: Quantization | None = None
    ready: bool = False
    passages: int | None = 0
    identity: dict[str, Any] | None = None


def is_index(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder holds an index (which may still be damaged)."""
    return (Path(folder) / MANIFEST_NAME).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest without opening the index.

    Raises:
        IndexCorruptError: it is missing, damaged or of a later version.
    """
    file = folder / MANIFEST_NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            raise ValueError("another format")
        if (version := content.pop("version")) != _VERSION:
            raise IndexCorruptError(
                f"index {str(folder)!r} has format version {version!r}, this release reads "
                f"{_VERSION}: update unimoer-rag or index the documents again"
            )
        manifest = Manifest(**content)
        if not isinstance(manifest.dimension, int) or manifest.dimension < 0:
            raise ValueError(f"dimension is {manifest.dimension!r}")
        check_quantization(manifest.quantization)
    except (OSError, InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexCorruptError(
            f"{str(file)!r} cannot be read ({error}); restore it from a copy, or delete the "
            "folder and index the documents again"
        ) from error
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step: a reader sees the old one or the new one.

    Raises:
        OSError: the folder cannot be written.
    """
    content = {"format": _FORMAT, "version": _VERSION, **asdict(manifest)}
    write_file(folder / MANIFEST_NAME, json.dumps(content, indent=2) + "\n")
