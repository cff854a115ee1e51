"""What a run shows while it goes, and what it says at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import Progress
from rich.table import Table

from unimoer_rag.cli.output import (
    columns,
    console,
    difference,
    drawn,
    print_note,
    print_text,
    progress_bar,
)
from unimoer_rag.wording import counted

if TYPE_CHECKING:
    from unimoer_rag.training import OwnRun

__all__ = ["Watch", "first_process", "print_own", "watching"]

# A line in the log of a terminal or a file every so many steps.
_EVERY = 50


def first_process() -> bool:
    """Whether this is the first of the processes that a launcher started; it speaks for all."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def watching(steps: int) -> Iterator[Watch]:
    """Show the progress of a run inside the block.

    Args:
        steps: of the whole run.
    """
    with progress_bar() as bar:
        yield Watch(bar, steps)


class Watch:
    """Turns what a run reports into progress bars and lines on standard error."""

    def __init__(self, bar: Progress, steps: int) -> None:
        self._show, self._steps = drawn(bar), steps

    def progress(self, what: str, done: int, total: int) -> None:
        """Work before or after the steps: mining, measuring."""
        if first_process():
            self._show(what, done, total)

    def step(self, report: dict[str, Any]) -> None:
        """One step of training: its losses, and tokens a second."""
        speed = report["tokens"] / max(report["seconds"], 1e-9)
        at = report["step"]
        self._show("training", at, self._steps, f"loss {report['loss']:.3f}  {speed:,.0f} tokens/s")
        if at % _EVERY == 0 or at == self._steps:
            losses = "  ".join(f"{name} {value:.3f}" for name, value in report["losses"].items())
            print_note(f"step {at}: {losses}  {speed:,.0f} tokens/s")
        if "validation" in report:
            found = "  ".join(f"{name} {v:.4f}" for name, v in report["validation"].items())
            print_note(f"validation: {found}")


_ADVICE = {
    "better": "better: use the trained checkpoint",
    "worse": "worse: keep {start}",
    "mixed": "better in some, worse in others: keep {start}, unless the gains are what you need",
    "undecided": "no difference that so few questions can tell: keep {start}, or give more",
}


def print_own(own: OwnRun, start: str) -> None:
    """The documents and questions of such a run, the measures before and after, and advice."""
    report = own.data
    print_text(
        f"{counted(report.documents, 'document')}, {counted(report.passages, 'passage')}; "
        f"{counted(report.train, 'question')} to train on, {report.dev} held out to measure by"
    )
    for problem in (*report.unreadable, *report.not_found):
        print_note(f"left out: {problem.reason}")
    table = Table(title=f"held-out questions, {start} and the trained checkpoint")
    columns(table, "measure", "before", "after", "difference", "95% interval", "p", "n")
    for measure, row in own.differences.items():
        digits = 2 if measure.startswith("answers") else 4
        table.add_row(measure, *difference(row, digits, p_digits=3))
    console.print(table)
    if own.judgement is not None:
        print_text(_ADVICE[own.judgement].format(start=start))
