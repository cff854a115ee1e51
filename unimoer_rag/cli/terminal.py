"""The one way to the terminal: whatever a document, a model or a server says is shown as text.

Three things can go wrong with texts that others wrote. Control characters make the terminal do
things (move the cursor, set its title, turn lines around); they are shown as symbols. Square
brackets are Rich's markup; here they are brackets. And a stream may not be able to encode a
character; it is then written as an escape, such as `\\u2192`.
"""

from __future__ import annotations

import io
import json
import os
import sys
from codecs import lookup
from collections.abc import Iterable
from typing import Any, NoReturn

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from unimoer_rag.harmless import HARMFUL, harmless

__all__ = [
    "CLOSED",
    "Terminal",
    "harmless",
    "harmless_text",
    "json_text",
    "leave_quietly",
    "prepare_streams",
    "read_as_utf8",
]

CLOSED = 141
"""Exit code of a run whose output nobody reads any more, as of a program ended by SIGPIPE."""


def harmless_text(text: str | Text) -> Text:
    """The same of a styled text, whose styles stay where they are; a string is no markup."""
    if isinstance(text, str):
        return Text(harmless(text))
    shown = text.copy()
    shown.plain = harmless(text.plain)  # as long, so that every style is kept
    return shown


def json_text(value: Any, *, ascii_only: bool = False, indent: int | None = 2) -> str:
    """A value as JSON for people and programs, with every harmful character as an escape.

    What is no number in JSON (NaN, infinity) is null.

    Args:
        value: dicts, lists, strings, numbers.
        ascii_only: escape all that is not ASCII, for a stream that cannot take it.
        indent: spaces a level; None for all on one line.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:
        text = json.dumps(_with_nulls(value), indent=indent, ensure_ascii=ascii_only)
    return HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(inner) for inner in value]
    return None if isinstance(value, float) and value - value != 0 else value


def read_as_utf8() -> None:
    """Begin again in Python's UTF-8 mode where arguments and names of files are read as ASCII.

    So Python does by itself in the locale "C", unless PYTHONUTF8=0 says otherwise. Other encodings
    are those of the terminal. What is printed is encoded as before.
    """
    asked = "utf8" in sys._xoptions  # by the user, or here before
    if asked or not sys.executable or lookup(sys.getfilesystemencoding()).name != "ascii":
        return
    out = sys.stdout
    kept = {} if out is None else {"PYTHONIOENCODING": f"{out.encoding}:{out.errors}"}
    words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execve(sys.executable, words, {**kept, **os.environ})


def prepare_streams() -> None:
    """Let standard output and error take any text, whatever they can encode.

    A stream that is closed from the start swallows what it gets.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Terminal(Console):
    """A console that takes every string literally, and cuts nothing that no terminal folds.

    Off a terminal a table is its rows in columns as wide as they need.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    @property
    def shows_links(self) -> bool:
        """Whether it opens files of this machine where a text is clicked (OSC 8).

        Terminals that know no links show the text alone; few print the address, as that of Linux's
        console. With NO_COLOR, and from another machine, whose files are not ours, there are none.
        """
        away = any(name in os.environ for name in ("SSH_CONNECTION", "SSH_TTY"))
        plain = self.no_color or self.color_system is None or os.environ.get("TERM") == "linux"
        return self.is_terminal and not plain and not away

    def print(self, *objects: Any, **options: Any) -> None:
        """`Console.print`; a line is one line where it is not folded for a terminal."""
        if not self.is_terminal:
            options["soft_wrap"] = True
            objects = tuple(_plain(o) if isinstance(o, Table) else o for o in objects)
        super().print(*objects, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Every text that is shown, in tables and progress bars too, comes through here."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else harmless(text), style, control)

    def on_broken_pipe(self) -> NoReturn:
        """Nobody reads on: leave without a word."""
        leave_quietly()


def leave_quietly(code: int = CLOSED) -> NoReturn:
    """End the run; what is still to be written, at the interpreter's exit too, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):  # no file behind it, or closed
            continue
    raise SystemExit(code)


def _plain(table: Table) -> Text:
    """A table as text: the columns as wide as their widest cell, nothing cut."""
    rows = list(zip(*(map(_flat, column.cells) for column in table.columns), strict=True))
    if table.show_header:
        rows.insert(0, tuple(_flat(column.header) for column in table.columns))
    widths = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
    right = [column.justify == "right" for column in table.columns]
    lines = [
        "  ".join(
            " " * (width - cell_len(cell)) + cell if on else cell + " " * (width - cell_len(cell))
            for cell, width, on in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]
    around = [[_flat(told)] if told else [] for told in (table.title, table.caption)]
    return Text("\n".join([*around[0], *lines, *around[1]]))


def _flat(cell: object) -> str:
    """On one line: the lines of a cell become a list."""
    lines = harmless(str(cell or "")).replace("\t", " ").split("\n")
    return ", ".join(line.strip() for line in lines if line.strip())
