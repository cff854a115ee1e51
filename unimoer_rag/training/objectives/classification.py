"""Classification: labels of texts, or of pairs of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from unimoer_rag.data import Labelled
from unimoer_rag.errors import DataError
from unimoer_rag.model import Row, UniMoER
from unimoer_rag.training import losses
from unimoer_rag.training.objectives import config
from unimoer_rag.training.objectives.order import Order
from unimoer_rag.training.objectives.types import Draw, Losses

__all__ = ["ClassificationObjective"]


class ClassificationObjective:
    """Labelled texts of one or more data sets, in their shuffled orders.

    Args:
        name: of the objective in its recipe.
        model: what learns.
        sets: labelled examples by data set.
        settings: of the recipe.
        seed: of the draws.

    Raises:
        DataError: an example has a label that the task does not know.
    """

    def __init__(
        self,
        name: str,
        model: UniMoER,
        sets: Mapping[str, Sequence[Labelled]],
        settings: config.Classification,
        *,
        seed: int,
    ) -> None:
        self.name, self.every = name, settings.every
        self._model, self._sets, self._settings = model, sets, settings
        self._task = model.task(settings.task)
        self._place = {label: at for at, label in enumerate(self._task.labels)}
        for source, examples in sets.items():
            for at, example in enumerate(examples):
                if example.label not in self._place:
                    raise DataError(
                        f"{source}, example {at + 1}: the label {example.label!r} is none of the "
                        f"task's, expected one of {', '.join(self._task.labels)}"
                    )
        self._order = Order(
            settings,
            {name: len(examples) for name, examples in sets.items()},
            seed=f"{name}-{seed}",
            lengths=lambda source: [len(e.text) + len(e.pair or "") for e in sets[source]],
        )

    def draw(self, index: int) -> Draw:
        """The next examples of a data set's shuffled order."""
        source, items = self._order.draw(index)
        examples = [self._sets[source][item] for item in items]
        rows: list[Row] = []
        for example in examples:
            if example.pair is None:
                rows += self._model.rows.single([example.text], self._task)
            else:
                rows += self._model.rows.pairs([(example.text, example.pair)], self._task)

        def loss(outputs: list[Any], frozen: list[Any]) -> Losses:
            each = [
                losses.classification(
                    output, self._place[example.label], smoothing=self._settings.smoothing
                )
                for output, example in zip(outputs, examples, strict=True)
            ]
            return {f"{self.name}/label": self._settings.weight * torch.stack(each).mean()}

        return Draw(rows, anchored=False, loss=loss)
