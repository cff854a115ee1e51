"""What the commands share: consoles, progress bars, JSON, quiet dependencies."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.style import Style
from rich.table import Table
from rich.text import Text

from unimoer_rag.cli.terminal import Terminal, harmless, harmless_text, json_text
from unimoer_rag.errors import StoreError, UnimoerWarning
from unimoer_rag.files import write_file

if TYPE_CHECKING:
    from unimoer_rag.model import MemoryPlan

__all__ = [
    "INCOMPLETE",
    "INTERRUPTED",
    "JsonFlag",
    "columns",
    "console",
    "counting",
    "difference",
    "drawn",
    "errors",
    "linked",
    "print_found",
    "print_json",
    "print_note",
    "print_piece",
    "print_text",
    "progress_bar",
    "quiet",
    "say_plan",
    "write_text",
]

console = Terminal()
errors = Terminal(stderr=True)

INCOMPLETE = 3
"""Exit code of a run that indexed what it could, but not everything."""

INTERRUPTED = 130
"""Exit code of a run that was stopped from the keyboard."""

_EVERY = 10.0  # seconds between two lines of progress

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")]


def quiet() -> None:
    """Keep the loading chatter of dependencies off the terminal; our warnings are a line each."""
    warnings.showwarning = _show_warning
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
    except ImportError:  # pragma: no cover - transformers is a dependency
        return


_shown = warnings.showwarning


def _show_warning(message: Any, category: Any, *args: Any, **options: Any) -> None:
    if issubclass(category, UnimoerWarning):
        print_note(Text.assemble(("warning: ", "bold yellow"), str(message)))
    else:
        _shown(message, category, *args, **options)


def say_plan(plan: MemoryPlan | None) -> None:
    """One line on standard error: what was chosen for a memory budget, if there was one."""
    if plan is not None:
        print_note(f"memory: {plan}")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on standard error: standard output stays clean for results."""
    with Progress(
        # Descriptions hold paths, in which brackets are no markup.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        yield progress


class Show(Protocol):
    """Tells what is worked on, how much of it is done, its size, and what else there is to say."""

    def __call__(self, what: str, done: int, total: int, note: str = "", /) -> None: ...


def counting(bar: Progress) -> Show:
    """Shows how far each thing is that is worked on; a size of 0 is unknown.

    On a terminal each has a line of the progress bar. Elsewhere a line is printed every ten
    seconds, and one at the end of what was told of.
    """
    return _printed() if bar.disable else drawn(bar)


def drawn(bar: Progress) -> Show:
    """Shows it by the bar alone: off a terminal not at all."""
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int, note: str = "", /) -> None:
        if what not in tasks:
            # What is gone on with does not begin at 0: its rate counts from here.
            tasks[what] = bar.add_task(what, total=total or None, completed=done)
        told = f"{what} ({note})" if note else what
        bar.update(tasks[what], description=told, completed=done, total=total or None)

    return show


def _printed() -> Show:
    last = time.monotonic()
    told: set[str] = set()  # and not yet ended

    def show(what: str, done: int, total: int, note: str = "", /) -> None:
        nonlocal last
        ended = 0 < total <= done
        if time.monotonic() - last < _EVERY and not (ended and what in told):
            return
        last = time.monotonic()
        if ended:
            told.discard(what)
        else:
            told.add(what)
        of = f" of {total:,}" if total else ""
        more = f", {note}" if note and not ended else ""
        print_note(f"{what}: {done:,}{of}{more}")

    return show


def print_text(text: str | Text) -> None:
    """A paragraph, taken literally: folded between words on a terminal, one line into a pipe."""
    console.print(harmless_text(text), soft_wrap=not console.is_terminal)


def linked(text: str, address: str | None) -> Text:
    """A text that opens a file where the terminal shows links.

    Args:
        text: what is shown, taken literally.
        address: the file's URI, which is ASCII without controls; None for text alone.
    """
    if address is None or not console.shows_links:
        return Text(text)
    return Text(text, Style(link=address))


def print_note(text: str | Text) -> None:
    """A line beside the results, on standard error, taken literally."""
    errors.print(harmless_text(text), highlight=False, soft_wrap=True)


def print_piece(text: str) -> None:
    """A piece of an answer, as it comes: no new line behind it, nothing kept back."""
    # One character for one: a control sequence cut between two pieces is none in either.
    sys.stdout.write(harmless(text))
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """One JSON value on standard output, in the characters that it can take."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    sys.stdout.write(json_text(value, ascii_only=not encoding.startswith("utf")))


def print_found(found: Any, say: Callable[[], object], *, as_json: bool) -> None:
    """What a command found: as JSON, or as `say` tells it to people."""
    if as_json:
        print_json(found)
    else:
        say()


def print_line(found: Any) -> None:
    """What was found as one line of JSON, seen at once by whoever reads it through a pipe.

    In ASCII: whatever a document says, a terminal that shows the line does nothing.
    """
    sys.stdout.write(json_text(found, ascii_only=True, indent=None))
    sys.stdout.flush()


def columns(table: Table, first: str, *others: str) -> Table:
    """The same table with a column of names, which are not cut, and columns of figures."""
    table.add_column(first, no_wrap=True)  # names that are cut cannot be told apart
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def difference(row: Mapping[str, Any], digits: int, *, p_digits: int) -> list[str]:
    """Cells of two means that are compared: both, their difference, its interval, p and n."""
    return [
        *(f"{row[key]:.{digits}f}" for key in ("first", "second")),
        f"{row['difference']:+.{digits}f}",
        f"{row['low']:+.{digits}f} to {row['high']:+.{digits}f}",
        f"{row['p_value']:.{p_digits}f}",
        str(row["n"]),
    ]


def write_text(text: str, path: Path) -> None:
    """Text to a file, whose folder is made where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, text)
    except OSError as error:
        raise StoreError(f"could not write {path}: {error.strerror}") from error
