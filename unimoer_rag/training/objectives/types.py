"""What the trainer asks of an objective.

An objective draws rows and says how their outputs become losses. The trainer merges the rows of
all objectives into the same batches. A draw is a function of its index alone, so that a resumed
run draws what the interrupted one would have drawn, and several processes share the indices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from unimoer_rag.model import Row

__all__ = ["Draw", "Losses", "Objective"]

Losses = dict[str, Tensor]


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
