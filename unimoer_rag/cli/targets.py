"""Files that commands write at their end: checked at their beginning, and never lost."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from unimoer_rag.cli.output import print_json, print_piece, write_text
from unimoer_rag.cli.terminal import json_text
from unimoer_rag.errors import InputError, StoreError

__all__ = ["check_target", "save_json", "save_text"]

_STDOUT = "-"


def check_target(path: Path | None) -> Path | None:
    """Refuse a file that could not be written, before what goes into it is measured.

    Folders that are missing are made when it is written. It also serves as an option's callback.

    Raises:
        InputError: it is a folder, or no file can be made there.
    """
    if path is None or str(path) == _STDOUT:
        return path
    try:
        if path.is_dir():
            raise InputError(f"cannot write results to {str(path)!r}, a folder: name a file")
        if not path.exists() or path.is_file():  # else a device or a pipe
            place = next(folder for folder in path.absolute().parents if folder.exists())
            # As it will be written: under a longer name, beside the file.
            with tempfile.NamedTemporaryFile(dir=place, prefix=f".{path.name}.", suffix=".part"):
                pass
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"cannot write results to {str(path)!r} ({error}): name a file in a folder that can be "
            "written"
        ) from error
    return path


def save_json(value: Any, path: Path) -> None:
    """One value as JSON; see `save_text`."""
    from unimoer_rag.evaluation.plain import plain

    if str(path) == _STDOUT:
        print_json(plain(value))
    else:
        save_text(json_text(plain(value)), path)


def save_text(text: str, path: Path) -> None:
    """Write what was measured to its file, "-" for standard output.

    Where that cannot be, it is kept all the same: in a temporary file, else on standard output.

    Raises:
        StoreError: the file could not be written; says where its content is.
    """
    if str(path) == _STDOUT:
        print_piece(text)
        return
    try:
        write_text(text, path)
    except StoreError as error:
        raise StoreError(f"{error}: {_elsewhere(text, path.suffix)}") from error


def _elsewhere(text: str, suffix: str) -> str:
    """Where a text is instead."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="unimoer-rag-", suffix=suffix, delete=False
        ) as file:
            file.write(text)
        return f"what was measured is in {file.name} instead"
    except OSError:
        print_piece(text)
        return "what was measured is on standard output instead"
