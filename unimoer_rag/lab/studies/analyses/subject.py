"""What an analysis looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from unimoer_rag.evaluation import asked
from unimoer_rag.lab.studies.measuring import Development
from unimoer_rag.lab.studies.runs import StudyRun
from unimoer_rag.model import Row, Task, UniMoER
from unimoer_rag.progress import Progress, silent

__all__ = ["Subject"]

_TEXTS = 64  # questions, and as many passages, of each data set


@dataclass
class Subject:
    """One finished run.

    Attributes:
        run: its recipe, log and folder.
        sets: gives the development sets.
        on_progress: called with a phase, what is done of it and its size.
    """

    run: StudyRun
    sets: Callable[[], Sequence[Development]]
    on_progress: Progress = silent

    @cached_property
    def model(self) -> UniMoER:
        """The trained model, loaded once."""
        return self.run.model()

    def texts(self) -> dict[str, tuple[list[str], list[str]]]:
        """Some questions and passages of each development set."""
        found = {}
        for development in self.sets():
            dataset = development.dataset
            questions = [q.text for q in asked(dataset)[:_TEXTS]]
            passages = [dataset.content(d) for d in list(dataset.corpus)[:_TEXTS]]
            found[dataset.name] = (questions, passages)
        return found

    def rows(self, task: Task, questions: Sequence[str], passages: Sequence[str]) -> list[Row]:
        """Texts as a task reads them, each for itself."""
        return [
            *self.model.rows.single(questions, task, "query"),
            *self.model.rows.single(passages, task, "document"),
        ]
