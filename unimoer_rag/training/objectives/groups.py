"""What objectives that learn from groups of passages share: keys, checks and sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from pydantic import Field
from torch import Tensor

from unimoer_rag.data import Sources, TrainingSet, has_negatives
from unimoer_rag.errors import DataError
from unimoer_rag.model import TaskConfig, UniMoER
from unimoer_rag.training.losses import Loss
from unimoer_rag.training.objectives.drawn import DrawnObjective
from unimoer_rag.training.objectives.kept import KeptDocuments
from unimoer_rag.training.objectives.objective import Losses, ObjectiveSettings, add

__all__ = ["GroupObjective", "GroupSettings", "check_negatives", "check_teacher", "weighted"]

L = TypeVar("L", bound=Loss)


class GroupSettings(ObjectiveSettings):
    """What a recipe says of an objective that learns from groups of passages."""

    losses: tuple[Loss, ...]
    any_positive: bool = Field(
        default=False,
        description="the positive is drawn anew among all that answer, not the first of the best",
    )

    @property
    def anchored(self) -> bool:
        """Whether a loss needs what the frozen backbone gives."""
        return any(term.needs_frozen for term in self.losses)

    def counts(self, sources: Sources, source: str) -> dict[str, int]:
        """See `ObjectiveSettings`."""
        groups = sources.groups(source)
        return {"passages": len(groups.texts), "questions": len(groups.groups)}

    def check(
        self, name: str, task: TaskConfig, sources: Sources, source: str, *, taught: bool
    ) -> None:
        """See `ObjectiveSettings`."""
        if not (taught and sources.is_mined(source)):
            check_teacher(name, self.losses, [sources.groups(source)])


G = TypeVar("G", bound=GroupSettings)


class GroupObjective(DrawnObjective[G, TrainingSet]):
    """Draws queries with their passages.

    Args:
        kept: documents run once, where the task's experts do not read them.
    """

    def __init__(
        self,
        name: str,
        model: UniMoER,
        sets: Mapping[str, TrainingSet],
        settings: G,
        *,
        seed: int,
        kept: KeptDocuments | None = None,
    ) -> None:
        self._documents = kept or KeptDocuments(model)
        super().__init__(name, model, sets, settings, seed=seed)

    def _prepare(self) -> None:
        check_teacher(self.name, self._settings.losses, self._sets.values())

    def _size(self, found: TrainingSet) -> int:
        return len(found.groups)


def weighted(name: str, losses: Iterable[L], value: Callable[[L], Tensor]) -> Losses:
    """The losses of an objective by name, each with its weight; those of one kind add up."""
    found: Losses = {}
    for term in losses:
        add(found, {f"{name}/{term.kind}": term.weight * value(term)})
    return found


def check_teacher(name: str, losses: Sequence[Loss], sets: Iterable[TrainingSet]) -> None:
    """Refuse losses that learn from a teacher where a data set has no teacher's scores.

    Raises:
        DataError: names the objective, the loss and the data set.
    """
    taught = [term.kind for term in losses if term.needs_teacher]
    for source in sets:
        if taught and len(source.groups) and not source.groups[0].scores:
            raise DataError(
                f"objectives.{name}: the loss {taught[0]!r} learns from a teacher, and "
                f"{source.name} has no scores: use a data set of scored groups, or mining.teacher"
            )


def check_negatives(name: str, sets: Iterable[TrainingSet]) -> None:
    """Refuse to rank where there is nothing to rank: a positive alone teaches nothing.

    Raises:
        DataError: names the objective and the data set.
    """
    for source in sets:
        if not has_negatives(source):
            raise DataError(
                f"objectives.{name}: no query of {source.name} has a passage that does not answer, "
                "to rank below the one that does: add negatives, or mine: true to the source"
            )
