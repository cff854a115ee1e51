"""What the commands share: consoles, progress bars, JSON, quiet dependencies."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from unimoer_rag.cli.retrieval_options import told
from unimoer_rag.cli.settings import ENVIRONMENT, key_of, model_of, one_place
from unimoer_rag.cli.terminal import Terminal, harmless, harmless_text, json_text
from unimoer_rag.errors import StoreError, UnimoerWarning
from unimoer_rag.files import write_file

if TYPE_CHECKING:
    from unimoer_rag.model import MemoryPlan

__all__ = [
    "INCOMPLETE",
    "INTERRUPTED",
    "CheckpointOption",
    "Collection",
    "DeviceOption",
    "DtypeOption",
    "IndexModelOption",
    "IndexOption",
    "JsonFlag",
    "KeyOption",
    "MemoryBudgetOption",
    "Mode",
    "ModeOption",
    "RerankText",
    "UrlOption",
    "console",
    "counting",
    "errors",
    "parse_rerank",
    "print_json",
    "print_piece",
    "print_text",
    "progress_bar",
    "quiet",
    "say_plan",
    "write_json",
    "write_text",
]

console = Terminal()
errors = Terminal(stderr=True)

INCOMPLETE = 3
"""Exit code of a run that indexed what it could, but not everything."""

INTERRUPTED = 130
"""Exit code of a run that was stopped from the keyboard."""

_EVERY = 10.0  # seconds between two lines of progress

CheckpointOption = Annotated[
    str,
    typer.Option("--checkpoint", help="A shipped checkpoint, a folder, or a backbone's name."),
]
DtypeOption = Annotated[
    str,
    typer.Option("--dtype", help="auto, float32, bfloat16, float16, int8 or int4."),
]
DeviceOption = Annotated[str, typer.Option("--device", help=told("device"))]
MemoryBudgetOption = Annotated[
    str | None,
    typer.Option(
        "--memory-budget",
        help="What the process may take, such as 4GB: picks dtype, batches and cache that fit.",
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")]
IndexModelOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        envvar=ENVIRONMENT["checkpoint"],
        callback=model_of,
        help="A shipped checkpoint, a folder, or a backbone's name; the one the index was built "
        "with, or unimoer-minilm for a new index, if not given.",
    ),
]
IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index", envvar=ENVIRONMENT["index"], callback=one_place, help="Folder of the index."
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar=ENVIRONMENT["url"],
        callback=one_place,
        help="A Qdrant server, in place of a folder.",
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="QDRANT_API_KEY", callback=key_of, help="The server's API key."
    ),
]
Mode = Literal["dense", "sparse", "hybrid"]
ModeOption = Annotated[
    Mode, typer.Option("--mode", help="First stage: vectors, BM25, or both fused by rank.")
]
RerankText = typer.Option(
    "--rerank",
    metavar="N|auto|FILE",
    help="First-stage results to rerank (50), 0 for none; auto: only those of searches that are "
    "uncertain; FILE: as calibrate wrote it.",
)
Collection = Annotated[
    str,
    typer.Option(
        "--collection", envvar=ENVIRONMENT["collection"], help="Collection on the server."
    ),
]


def parse_rerank(text: str) -> int | str:
    """The option `--rerank`: a number, "auto", or the file of a calibration."""
    try:
        return int(text)
    except ValueError:
        return text


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
        errors.print(Text.assemble(("warning: ", "bold yellow"), str(message)), soft_wrap=True)
    else:
        _shown(message, category, *args, **options)


def say_plan(plan: MemoryPlan | None) -> None:
    """One line on standard error: what was chosen for a memory budget, if there was one."""
    if plan is not None:
        errors.print(f"memory: {plan}", soft_wrap=True)


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
    return _printed() if bar.disable else _drawn(bar)


def _drawn(bar: Progress) -> Show:
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int, note: str = "", /) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total or None)
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
        errors.print(f"{what}: {done:,}{of}{more}", markup=False, highlight=False, soft_wrap=True)

    return show


def print_text(text: str | Text) -> None:
    """A paragraph, taken literally: folded between words on a terminal, one line into a pipe."""
    console.print(harmless_text(text), soft_wrap=not console.is_terminal)


def print_piece(text: str) -> None:
    """A piece of an answer, as it comes: no new line behind it, nothing kept back."""
    # One character for one: a control sequence cut between two pieces is none in either.
    sys.stdout.write(harmless(text))
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """One JSON value on standard output, in the characters that it can take."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    sys.stdout.write(json_text(value, ascii_only=not encoding.startswith("utf")))


def write_json(value: Any, path: Path) -> None:
    """One JSON value to a file, or to standard output for "-"."""
    if str(path) == "-":
        print_json(value)
        return
    write_text(json_text(value), path)


def write_text(text: str, path: Path) -> None:
    """Text to a file, whose folder is made where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, text)
    except OSError as error:
        raise StoreError(f"could not write {path}: {error.strerror}") from error
