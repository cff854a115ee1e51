"""The command that was typed, as a result keeps it: to be repeated, elsewhere too."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

__all__ = ["typed_command"]


def typed_command() -> str:
    """The command without the folders of this machine: absolute paths are told by their names."""
    return shlex.join(["unimoer-rag", *map(_portable, sys.argv[1:])])


def _portable(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    path = Path(value)
    return f"{option}{equals}{path.name}" if path.is_absolute() else word
