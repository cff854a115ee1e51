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

__all__ = [
    "MANIFEST_NAME",
    "Manifest",
    "is_index",
    "is_leftover",
    "read_manifest",
    "remove_leftovers",
    "write_manifest",
]

MANIFEST_NAME = "unimoer.json"
_FORMAT, _VERSION = "unimoer-index", 1
_MAX_BYTES = 16 << 20  # of a file of ten lines; more is not one


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The contents of `unimoer.json`; the table above explains them.

    Raises:
        ValueError: a value is of another type than the table says.
    """

    dimension: int
    quantization: Quantization | None = None
    ready: bool = False
    passages: int | None = 0
    identity: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, value, right in (
            ("dimension", self.dimension, _is_size(self.dimension)),
            ("ready", self.ready, isinstance(self.ready, bool)),
            ("passages", self.passages, self.passages is None or _is_size(self.passages)),
            ("identity", self.identity, isinstance(self.identity, dict | None)),
        ):
            if not right:
                raise ValueError(f"{name} is {str(value)[:80]!r}")
        check_quantization(self.quantization)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_index(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder holds an index (which may still be damaged)."""
    return (Path(folder) / MANIFEST_NAME).is_file()


def is_leftover(name: str) -> bool:
    """Whether a file is what a kill left of writing a manifest."""
    return name.startswith((MANIFEST_NAME, f".{MANIFEST_NAME}")) and name != MANIFEST_NAME


def remove_leftovers(folder: Path) -> None:
    """Remove what kills left of writing manifests; the folder must be locked."""
    for file in folder.iterdir():
        if is_leftover(file.name):
            file.unlink(missing_ok=True)


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest without opening the index.

    Raises:
        IndexCorruptError: it is missing, damaged or of a later version.
    """
    file = folder / MANIFEST_NAME
    try:
        if (size := file.stat().st_size) > _MAX_BYTES:
            raise ValueError(f"it has {size} bytes")
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            raise ValueError("another format")
        if (version := content.pop("version")) != _VERSION or isinstance(version, bool):
            raise IndexCorruptError(
                f"index {str(folder)!r} has format version {version!r}, this release reads "
                f"{_VERSION}: update unimoer-rag or index the documents again"
            )
        return Manifest(**content)
    except (
        *(OSError, InputError, ValueError, KeyError, TypeError, AttributeError),
        RecursionError,  # brackets within brackets, thousands deep
    ) as error:
        raise IndexCorruptError(
            f"{str(file)!r} cannot be read ({error}); restore it from a copy, or delete the "
            "folder and index the documents again"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step: a reader sees the old one or the new one.

    Raises:
        OSError: the folder cannot be written.
    """
    content = {"format": _FORMAT, "version": _VERSION, **asdict(manifest)}
    write_file(folder / MANIFEST_NAME, json.dumps(content, indent=2) + "\n")
