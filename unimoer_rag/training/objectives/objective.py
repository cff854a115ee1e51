"""What an objective is: what a recipe says of it, and what the trainer asks of it.

An objective draws rows and says how their outputs become losses. The trainer merges the rows of
all objectives into the same batches. A draw is a function of its index alone, so that a resumed
run draws what the interrupted one would have drawn, and several processes share the indices.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, Self

from pydantic import Field, model_validator
from torch import Tensor

from unimoer_rag.data import Part, Sources
from unimoer_rag.model import Row, TaskConfig, UniMoER
from unimoer_rag.training.objectives.material import Material

__all__ = ["Draw", "Losses", "Objective", "ObjectiveSettings", "add", "among"]

Losses = dict[str, Tensor]


def among(names: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuse a name that is not known.

    Raises:
        ValueError: for the first such name; names those that are known.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{what} {unknown[0]!r}, expected one of {', '.join(sorted(known))}")


@dataclass(frozen=True, slots=True)
class Draw:
    """Rows of one draw, and the losses from their outputs.

    `loss(outputs, frozen)` gets the outputs of `rows` in order, and those of the same rows from
    the backbone with its experts off where `anchored`, else an empty list. It names its losses
    "<objective>/<part>", each already weighted.
    """

    rows: list[Row]
    anchored: bool
    loss: Callable[[list[Any], list[Any]], Losses]


class Objective(Protocol):
    """What one task learns from.

    Attributes:
        name: goes before the names of its losses.
        every: it takes part in every n-th step.
    """

    name: str
    every: int

    def draw(self, index: int) -> Draw:
        """The rows and losses of a draw, a function of the index alone."""


class ObjectiveSettings(Part):
    """What a recipe says of an objective; a subclass has a `kind`, a `Literal` with a default.

    Attributes:
        teaches: the kinds of heads that it can teach.
    """

    task: str = Field(description="the task that learns")
    sources: tuple[str, ...] = Field(min_length=1, description="data sets it draws from")
    size: int = Field(ge=1, description="queries, groups or examples of a draw")
    every: int = Field(default=1, ge=1, description="draws at every n-th step")
    proportions: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="share of the draws by data set; without, by size"
    )
    sampling_temperature: float = Field(
        default=1.0, gt=0, description="data sets are drawn by size ** (1 / this)"
    )

    teaches: ClassVar[tuple[type, ...]]

    @model_validator(mode="after")
    def _known_shares(self) -> Self:
        among(self.proportions, self.sources, "proportions: for")
        if self.proportions and len(self.proportions) < len(self.sources):
            missing = sorted(set(self.sources) - set(self.proportions))
            raise ValueError(f"proportions: expected a share for {', '.join(missing)} too")
        if self.proportions and self.sampling_temperature != 1:
            raise ValueError(
                "sampling_temperature: acts on sizes, not on proportions, leave one of them out"
            )
        return self

    @abstractmethod
    def make(self, name: str, model: UniMoER, material: Material, *, seed: int) -> Objective:
        """The objective, its data sets opened and mined.

        Raises:
            DataError: a data set is missing or malformed, or lacks what is needed of it.
        """

    @abstractmethod
    def counts(self, sources: Sources, source: str) -> dict[str, int]:
        """Read one of the data sets, and count what it gives.

        Raises:
            DataError: it is missing or malformed.
        """

    def check(
        self, name: str, task: TaskConfig, sources: Sources, source: str, *, taught: bool
    ) -> None:
        """Refuse before anything is mined what `make` would refuse of a data set.

        Args:
            name: of the objective.
            task: that learns.
            sources: the data sets.
            source: which of them.
            taught: a teacher will score the groups that are mined.

        Raises:
            DataError: it lacks what is needed of it.
        """


def add(total: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    """Add tensors to those of the same names; no tensor is changed in place."""
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value
