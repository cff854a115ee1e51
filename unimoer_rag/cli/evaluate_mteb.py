"""`unimoer-rag eval --mteb`: a model measured on tasks of mteb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table

from unimoer_rag.cli.option_groups import option
from unimoer_rag.cli.output import columns, console, counting, progress_bar, quiet
from unimoer_rag.cli.targets import save_json
from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.evaluation import TaskScore

__all__ = ["MtebTasks"]


@dataclass(frozen=True)
class MtebTasks:
    """Tasks of mteb, in place of a data set."""

    mteb: list[str] | None = option(
        "A task or benchmark of mteb, in place of a data set; several with the option again."
    )
    mteb_role: Literal["encoder", "reranker", "search"] = option(
        "What mteb measures: the vectors, the scores of pairs, or the whole search.",
        default="encoder",
    )
    mteb_cache: Path | None = option("Keep what is done here, and go on there next time.")

    def measure(self, checkpoint: str | None, dtype: str, json: Path | None) -> None:
        """Run the tasks, then write the file that was asked for and print the table.

        Args:
            checkpoint: as for `UniMoER.from_pretrained`; None for the shipped one.
            dtype: likewise.
            json: where results go as JSON; "-" prints them.

        Raises:
            InputError: there is no such task, or it cannot be run in this role.
            DataError: the data of one cannot be had.
        """
        quiet()
        from unimoer_rag.evaluation import find_tasks, run_tasks
        from unimoer_rag.model import UniMoER
        from unimoer_rag.retrieval import DEFAULT_MODEL

        tasks = find_tasks(self.mteb or ())
        name = checkpoint or DEFAULT_MODEL
        model = UniMoER.from_pretrained(name, dtype=dtype)
        with progress_bar() as bar:
            scores = run_tasks(
                model, tasks, self.mteb_role, cache=self.mteb_cache, on_progress=counting(bar)
            )
        if json is not None:
            found = [asdict(score) for score in scores]
            save_json({"checkpoint": name, "role": self.mteb_role, "tasks": found}, json)
        if json is None or str(json) != "-":
            console.print(_table(f"{name} as {self.mteb_role}", scores))

    def check(self, others: Sequence[object]) -> None:
        """Refuse a data set beside the tasks.

        Args:
            others: what names one; None for what was not given.

        Raises:
            InputError: one was given too.
        """
        if self.mteb and any(given is not None for given in others):
            raise InputError(
                "--mteb takes the place of a data set: leave NAME, --data, --corpus, --split, "
                "--own and --run out"
            )


def _table(title: str, scores: Sequence[TaskScore]) -> Table:
    table = columns(Table(title=title), "task", "measure", "score")
    for score in scores:
        table.add_row(score.task, score.measure, f"{score.score:.4f}")
    if len(scores) > 1:
        table.add_section()
        table.add_row("mean", "", f"{sum(s.score for s in scores) / len(scores):.4f}")
    return table
