"""What is kept of a finished run: one small file, from which a study goes on on another machine.

A record says what the run was made from (its digest names the file), what it cost, each question's
value and what analyses found. It holds no weights: what looks into a checkpoint is looked at before
the record is written. Values stand in the order of the questions of the development sets, whose
names are written once beside the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import asked
from unimoer_rag.files import write_file
from unimoer_rag.lab.studies.measuring import Development, Values
from unimoer_rag.lab.studies.panels import Findings
from unimoer_rag.lab.studies.runs import Done

__all__ = ["Measured", "Record", "Records", "Sets", "sets_of"]


class Measured(BaseModel):
    """A development set as it was measured."""

    passages: int
    questions: list[str]


Sets = dict[str, Measured]
"""Development sets by name."""


class Record(BaseModel):
    """One finished run.

    Attributes:
        study: that it was made for; others may use it.
        variant: of the study.
        seed: of the recipe.
        machine: what it ran on.
        versions: of what its numbers depend on.
        done: its cost and size.
        values: by "SET/TASK", one a question, in the order of the development sets' questions.
        findings: by analysis.
    """

    study: str
    variant: str
    seed: int
    machine: dict[str, str]
    versions: dict[str, str]
    done: Done
    values: dict[str, list[float]]
    findings: dict[str, Findings]

    def by_question(self, sets: Mapping[str, Measured]) -> Values:
        """Its values by question.

        Raises:
            DataError: it is of other development sets.
        """
        found: Values = {}
        for name, values in self.values.items():
            of = sets.get(name.rpartition("/")[0])
            if of is None or len(of.questions) != len(values):
                raise DataError(
                    f"the record of {self.variant!r}, seed {self.seed}, has other questions of "
                    f"{name}: delete it to make the run again"
                )
            found[name] = dict(zip(of.questions, values, strict=True))
        return found


class Records:
    """The folder of records.

    Args:
        folder: is made when something is written.
        measured: key of the development sets; the same run measured by others has other records.
    """

    def __init__(self, folder: Path, measured: str) -> None:
        self._folder, self._measured = folder, measured

    @property
    def sets_file(self) -> Path:
        """Where the development sets' questions are named."""
        return self._folder / f"development-{self._measured}.json"

    def find(
        self, digest: str, tasks: Sequence[str] = (), analyses: Sequence[str] = ()
    ) -> Record | None:
        """A run's record, if it is there, of all these tasks and with all these analyses."""
        with suppress(FileNotFoundError, ValidationError):  # another version's is made anew
            found = Record.model_validate_json(self._path(digest).read_bytes())
            measured = {name.rpartition("/")[2] for name in found.values}
            if set(tasks) <= measured and set(analyses) <= set(found.findings):
                return found
        return None

    def write(self, digest: str, record: Record) -> None:
        """Keep a record; what an older one of the run found besides stays."""
        if (older := self.find(digest)) is not None:
            more = {
                "findings": older.findings | record.findings,
                "values": older.values | record.values,
            }
            record = record.model_copy(update=more)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_file(self._path(digest), record.model_dump_json() + "\n")

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}-{self._measured}.json"


def sets_of(development: Sequence[Development]) -> Sets:
    """The development sets as a record refers to them."""
    return {
        d.dataset.name: Measured(
            passages=len(d.dataset.corpus), questions=[q.id for q in asked(d.dataset)]
        )
        for d in development
    }
