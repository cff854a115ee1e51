"""Classification: labels of texts, or of pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from unimoer_rag.data import Labelled, Sources
from unimoer_rag.errors import DataError
from unimoer_rag.model import ClassifyingHead, Row, TaskConfig, UniMoER
from unimoer_rag.training import losses
from unimoer_rag.training.objectives.drawn import DrawnObjective
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Draw, Losses, Objective, ObjectiveSettings

__all__ = ["Classification", "ClassificationObjective"]


class Classification(ObjectiveSettings):
    """Labels of texts, or of pairs of texts."""

    kind: Literal["classification"] = "classification"
    weight: float = Field(default=1.0, gt=0, description="of this loss")

    teaches: ClassVar[tuple[type, ...]] = (ClassifyingHead,)

    def make(self, name: str, model: UniMoER, material: Material, *, seed: int) -> Objective:
        """See `ObjectiveSettings`."""
        sets = {source: material.sources.labelled(source) for source in self.sources}
        return ClassificationObjective(name, model, sets, self, seed=seed)

    def counts(self, sources: Sources, source: str) -> dict[str, int]:
        """See `ObjectiveSettings`."""
        return {"labelled": len(sources.labelled(source))}

    def check(
        self, name: str, task: TaskConfig, sources: Sources, source: str, *, taught: bool
    ) -> None:
        """See `ObjectiveSettings`."""
        unknown = [one for one in sources.labelled(source).labels if one not in task.labels]
        if unknown:
            raise DataError(
                f"the label {unknown[0]!r} is none of the task {task.name}'s, expected one of "
                f"{', '.join(task.labels)}"
            )


class ClassificationObjective(DrawnObjective[Classification, Sequence[Labelled]]):
    """Labelled texts of one or more data sets, in their shuffled orders.

    Raises:
        DataError: an example has a label that the task does not know.
    """

    def _prepare(self) -> None:
        self._place = {label: at for at, label in enumerate(self._task.labels)}
        for source, examples in self._sets.items():
            for at, example in enumerate(examples):
                if example.label not in self._place:
                    raise DataError(
                        f"{source}, example {at + 1}: the label {example.label!r} is none of the "
                        f"task's, expected one of {', '.join(self._task.labels)}"
                    )

    def _size(self, found: Sequence[Labelled]) -> int:
        return len(found)

    def draw(self, index: int) -> Draw:
        """The next examples of a data set's shuffled order."""
        chosen, items, _ = self._drawn(index)
        examples = [chosen[item] for item in items]
        rows: list[Row] = []
        for example in examples:
            if example.pair is None:
                rows += self._model.rows.single([example.text], self._task)
            else:
                rows += self._model.rows.pairs([(example.text, example.pair)], self._task)

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            each = [
                losses.classification(output, self._place[example.label])
                for output, example in zip(outputs, examples, strict=True)
            ]
            return {f"{self.name}/label": self._settings.weight * torch.stack(each).mean()}

        return Draw(rows, anchored=False, loss=loss)
