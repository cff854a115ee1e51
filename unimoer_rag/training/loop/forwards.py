"""Rows through the model while it learns: their outputs, and what their routing has to pay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unimoer_rag.errors import TrainingError
from unimoer_rag.model import Batch, Output, Row, States, UniMoER, plan_batches
from unimoer_rag.training.loop.gradients import ROUTING
from unimoer_rag.training.loop.processes import Processes
from unimoer_rag.training.losses import Routing

__all__ = ["Forwards", "Pass", "learning"]


# Tokens of a batch's rows are a multiple of this. On CPUs oneDNN makes the code of a product for
# each shape that it meets, in milliseconds, and keeps a thousand: of batches of any length few
# shapes come twice.
_CPU_MULTIPLE = 16


@dataclass(frozen=True, slots=True)
class Pass:
    """One batch, with its graph.

    Attributes:
        batch: the rows.
        states: what the forward gave.
        outputs: of each row, in the batch's order.
        losses: the routing's regularisers by name, weighted.
    """

    batch: Batch
    states: States
    outputs: list[Output]
    losses: dict[str, Tensor]


class Forwards:
    """Runs batches of rows with and without their experts.

    Args:
        model: what learns.
        routing: regularisers of the recipe.
        token_budget: padded tokens of a batch.
        processes: those that train together.
    """

    def __init__(
        self, model: UniMoER, routing: Routing, *, token_budget: int, processes: Processes
    ) -> None:
        self._model, self._routing = model, routing
        self._token_budget, self._processes = token_budget, processes
        self._multiple = _CPU_MULTIPLE if model.device.type == "cpu" else 1

    def plan(self, rows: Sequence[Row]) -> list[list[int]]:
        """Batches of row numbers by the token budget.

        Raises:
            TrainingError: the backbone is sharded, and there are too few rows for the batches that
                another process has.
        """
        plan = plan_batches([self._padded(row) for row in rows], self._token_budget)
        if not self._processes.sharded:
            return plan
        # A layer's parts come together where every process runs it: all run the same number.
        return _in_batches(plan, self._processes.most(len(plan)))

    def _padded(self, row: Row) -> int:
        """Tokens of a row in a batch of which it is the longest."""
        longest = -(-len(row.ids) // self._multiple) * self._multiple
        return max(len(row.ids), min(longest, self._model.rows.max_positions))

    def learn(self, rows: Sequence[Row], *, share: float) -> Pass:
        """One batch with gradient.

        Args:
            rows: of the batch.
            share: of the batch in its draws; weighs the regularisers.
        """
        batch = self._model.collate(rows, length=max(map(self._padded, rows)))
        states = self._model(batch)
        outputs = self._model.read_out(batch, states.hidden)
        return Pass(batch, states, outputs, self._regularisers(batch, states, share))

    @torch.no_grad()
    def frozen(self, rows: Sequence[Row]) -> list[Output]:
        """Outputs of rows through the backbone alone, in their order."""
        silent = [replace(row, task=row.task.with_strength(0.0)) for row in rows]
        outputs: dict[int, Output] = {}
        for at in self.plan(silent):
            batch = self._model.collate([silent[i] for i in at])
            hidden = self._model(batch).hidden
            outputs.update(zip(at, self._model.read_out(batch, hidden), strict=True))
        return [outputs[i] for i in range(len(silent))]

    def _regularisers(self, batch: Batch, states: States, share: float) -> dict[str, Tensor]:
        """What the recipe asks of the routing, by name."""
        if not states.routing:
            return {}
        found = self._routing.losses(states, self._allowed(batch, states), batch.mask)
        return {f"{ROUTING}/{name}": share * loss for name, loss in found.items()}

    def _allowed(self, batch: Batch, states: States) -> Tensor:
        """What each row may use where a layer has it, bool `[layers, rows, experts]`."""
        tasks = [row.task for row in batch.rows]
        own = torch.tensor([[e in task.experts for e in states.experts] for task in tasks])
        specs = [self._model.experts[e] for e in states.experts]
        layers = range(len(states.routing))
        present = torch.tensor([[spec.in_layer(at) for spec in specs] for at in layers])
        return (own & present.unsqueeze(1)).to(batch.mask.device)


def _in_batches(plan: list[list[int]], n: int) -> list[list[int]]:
    """The same rows in n batches: the ones of most rows are halved."""
    while len(plan) < n:
        at = max(range(len(plan)), key=lambda i: len(plan[i]))
        rows = plan[at]
        if len(rows) < 2:
            raise TrainingError(
                f"{len(plan)} rows of a step cannot be run in the {n} batches of another process: "
                "expected a higher optimizer.token_budget, or more rows a draw"
            )
        plan[at : at + 1] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    return plan


@contextmanager
def learning(model: UniMoER) -> Iterator[None]:
    """Switch on the recomputation of layers, which acts in training alone.

    The backbone's own dropout stays off: only the modules that recompute learn that it is training.
    """
    recomputing = [m for m in model.backbone.modules() if getattr(m, "gradient_checkpointing", 0)]
    for module in recomputing:
        module.training = True  # not .train(), which would reach the dropouts inside
    try:
        yield
    finally:
        for module in recomputing:
            module.training = False
