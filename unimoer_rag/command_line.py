"""The command that was typed, as a result keeps it: to be repeated, elsewhere too."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from unimoer_rag.urls import shown_url

__all__ = ["typed_command"]

_HIDDEN = "***"


def typed_command() -> str:
    """The command without the folders of this machine, keys and passwords.

    Absolute paths are told by their names, what follows an option such as `--chat-key` is left out.
    """
    words = sys.argv[1:]
    before = ["", *words]
    return shlex.join(
        ["unimoer-rag", *(_portable(*pair) for pair in zip(before, words, strict=False))]
    )


def _portable(before: str, word: str) -> str:
    if _is_key(before):
        return _HIDDEN
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    if equals and _is_key(option):
        return f"{option}={_HIDDEN}"
    if "://" in value:
        return f"{option}{equals}{shown_url(value)}"
    path = Path(value)
    return f"{option}{equals}{path.name}" if path.is_absolute() else word


def _is_key(option: str) -> bool:
    return option.startswith("--") and option.endswith(("-key", "-token", "-password"))
