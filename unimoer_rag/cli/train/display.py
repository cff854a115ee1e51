"""What a run shows while it goes, and what it says at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import Progress, TaskID
from rich.table import Table

from unimoer_rag.cli.output import console, errors, print_text, progress_bar

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
        self._bar, self._steps = bar, steps
        self._tasks: dict[str, TaskID] = {}

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
            _say(f"step {at}: {losses}  {speed:,.0f} tokens/s")
        if "validation" in report:
            found = "  ".join(f"{name} {v:.4f}" for name, v in report["validation"].items())
            _say(f"validation: {found}")

    def _show(self, what: str, done: int, total: int, said: str = "") -> None:
        if what not in self._tasks:
            # A resumed run's first report is not its first step: the rate counts from there.
            self._tasks[what] = self._bar.add_task(what, total=total or None, completed=done)
        description = f"{what}  {said}" if said else what
        self._bar.update(
            self._tasks[what], completed=done, total=total or None, description=description
        )


def _say(line: str) -> None:
    errors.print(line, soft_wrap=True)


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
        f"{report.documents} documents, {report.passages} passages; {report.train} questions to "
        f"train on, {report.dev} held out to measure by"
    )
    for problem in (*report.unreadable, *report.not_found):
        _say(f"left out: {problem.reason}")
    table = Table(title=f"held-out questions, {start} and the trained checkpoint")
    table.add_column("measure", no_wrap=True)
    for heading in ("before", "after", "difference", "95% interval", "p", "n"):
        table.add_column(heading, justify="right")
    for measure, row in own.differences.items():
        digits = 2 if measure.startswith("answers") else 4
        table.add_row(
            measure,
            f"{row['first']:.{digits}f}",
            f"{row['second']:.{digits}f}",
            f"{row['difference']:+.{digits}f}",
            f"{row['low']:+.{digits}f} to {row['high']:+.{digits}f}",
            f"{row['p_value']:.3f}",
            str(row["n"]),
        )
    console.print(table)
    if own.judgement is not None:
        print_text(_ADVICE[own.judgement].format(start=start))
