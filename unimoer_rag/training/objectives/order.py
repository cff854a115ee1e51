"""Which items of which data set a draw of an objective takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from unimoer_rag.data import TrainingSet, group_lengths
from unimoer_rag.training.draws import LengthGroups, SetSampler, set_weights, shuffled
from unimoer_rag.training.objectives.config import ObjectiveConfig

__all__ = ["Order"]


class Order:
    """The items of every draw, a function of its index: always of one data set.

    Args:
        settings: of the objective in its recipe.
        sizes: items of each data set.
        seed: of the order; objectives of one run take different ones.
        lengths: of each item of a data set; asked for where the recipe groups by length.
    """

    def __init__(
        self,
        settings: ObjectiveConfig,
        sizes: Mapping[str, int],
        *,
        seed: str,
        lengths: Callable[[str], Sequence[int]],
    ) -> None:
        self._size, self._sizes, self._seed = settings.size, dict(sizes), seed
        weights = set_weights(
            sizes, proportions=settings.proportions, temperature=settings.sampling_temperature
        )
        self._sampler = SetSampler(weights, seed)
        self._grouped: dict[str, LengthGroups] = {}
        if settings.group_lengths:
            self._grouped = {
                name: LengthGroups(lengths(name), size=settings.size, seed=seed) for name in sizes
            }

    @classmethod
    def of_groups(
        cls, settings: ObjectiveConfig, sets: Mapping[str, TrainingSet], *, seed: str
    ) -> Order:
        """The order of the groups of some sets, by the lengths of queries and positives."""
        return cls(
            settings,
            {name: len(source.groups) for name, source in sets.items()},
            seed=seed,
            lengths=lambda source: group_lengths(sets[source]),
        )

    def draw(self, index: int) -> tuple[str, list[int]]:
        """The data set of a draw, and its items in it."""
        name, turn = self._sampler.pick(index)
        if name in self._grouped:
            return name, self._grouped[name].draw(turn)
        total = self._sizes[name]
        places = range(turn * self._size, (turn + 1) * self._size)
        return name, [shuffled(place, total, self._seed) for place in places]
