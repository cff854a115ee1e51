"""What every objective has: a task, data sets, and an order in which their items are drawn."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

from unimoer_rag.model import UniMoER
from unimoer_rag.training.draws import SetSampler, set_weights, shuffled
from unimoer_rag.training.objectives.objective import Draw, ObjectiveSettings

__all__ = ["DrawnObjective"]

Settings = TypeVar("Settings", bound=ObjectiveSettings)
Source = TypeVar("Source")


class DrawnObjective(ABC, Generic[Settings, Source]):
    """An objective each of whose draws is of one data set, its items a function of the index.

    Args:
        name: of the objective in its recipe.
        model: what learns.
        sets: where items come from, by the data set's name.
        settings: of the recipe.
        seed: of the draws; objectives of one run differ by their names.

    Raises:
        DataError: a data set lacks what is needed of it.
    """

    def __init__(
        self,
        name: str,
        model: UniMoER,
        sets: Mapping[str, Source],
        settings: Settings,
        *,
        seed: int,
    ) -> None:
        self.name, self.every = name, settings.every
        self._model, self._sets, self._settings = model, sets, settings
        self._task, self._seed = model.task(settings.task), f"{name}-{seed}"
        self._prepare()
        self._sizes = {one: self._size(found) for one, found in sets.items()}
        weights = set_weights(
            self._sizes,
            proportions=settings.proportions,
            temperature=settings.sampling_temperature,
        )
        self._sampler = SetSampler(weights, self._seed)

    @abstractmethod
    def draw(self, index: int) -> Draw:
        """The rows and losses of a draw, a function of the index alone."""

    @abstractmethod
    def _size(self, found: Source) -> int:
        """How many items a data set has."""

    def _prepare(self) -> None:
        """Refuse data sets that lack something, and make what draws need besides them."""

    def _drawn(self, index: int) -> tuple[Source, list[int], random.Random]:
        """The data set of a draw, its items in it, and what else is random about them."""
        name, turn = self._sampler.pick(index)
        size, total = self._settings.size, self._sizes[name]
        places = range(turn * size, (turn + 1) * size)
        items = [shuffled(place, total, self._seed) for place in places]
        return self._sets[name], items, random.Random(f"{self._seed}-{index}")
