"""A folder that is there whole or not at all, and JSON in it."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unimoer_rag.errors import CheckpointError
from unimoer_rag.model.io.files import make_folder, write_whole

__all__ = ["new_folder", "write_json", "write_text", "written_by"]


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which becomes `folder` when the block ends well.

    It lies beside and is renamed at the end. Where the block fails, nothing is left of it.

    Raises:
        CheckpointError: something is there already that is no empty folder, or the disk refuses.
    """
    if folder.exists() and not _is_empty(folder):
        raise CheckpointError(
            f"{folder} is there already: an export goes into a folder of its own, choose a new one"
        )
    whole = folder.absolute()
    make_folder(whole.parent)
    part = whole.with_name(f".{whole.name[:40]}.{secrets.token_hex(6)}.part")
    make_folder(part)
    try:
        yield part
        if whole.exists():
            whole.rmdir()
        part.rename(whole)
    except OSError as error:
        raise _failed(folder, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def written_by(library: str, folder: Path) -> Iterator[None]:
    """Have another library write files, whose own errors end as ours.

    Args:
        library: its name.
        folder: where it writes.

    Raises:
        CheckpointError: it cannot write them.
    """
    try:
        yield
    except Exception as error:  # safetensors and tokenizers each have their own kinds
        raise _failed(folder, f"{library}: {error}") from error


def _failed(folder: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"could not write {folder} ({why}): free some space or choose another folder; nothing "
        "half-written is left"
    )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def write_json(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write JSON as people read it, its folder made where it is missing."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, its folder made where it is missing."""
    make_folder(path.parent)
    write_whole(path, text.encode())
