"""Growth of ranks: low-rank capacity goes to the experts and layers that turn out to need it.

DR-LoRA (arXiv 2601.04823). Every expert starts with a few active ranks in every transformer layer.
At intervals, the pairs of expert and layer that matter most to the loss get one more, until the
budget is spent. How much a pair matters is its saliency,

    saliency = EMA(routing weight) * EMA(mean over its active ranks of sum |theta * dL/dtheta|)

A rank that is not active is exactly silent: its column of `B` is zero, and neither that nor its row
of `A` gets a gradient. The experts' scale stays `alpha / r` of the full rank throughout.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unimoer_rag.errors import TrainingError
from unimoer_rag.model import layer_of

__all__ = ["RankGrowth"]

_DECAY = 0.9  # of both moving averages


@dataclass(slots=True)
class _Cell:
    """One expert in one transformer layer: all its matrices there share their active ranks."""

    expert: str
    layer: int
    downs: list[nn.Parameter] = field(default_factory=list)
    ups: list[nn.Parameter] = field(default_factory=list)

    @property
    def capacity(self) -> int:
        return self.downs[0].shape[0]

    @torch.no_grad()
    def silence(self, active: int) -> None:
        for up in self.ups:
            up[:, active:] = 0

    @torch.no_grad()
    def sensitivity(self, active: int) -> Tensor:
        """Mean over the active ranks of `sum |theta * gradient|`: what the loss has to do with it.

        To first order, it is what the loss would change by if the rank were gone.
        """
        total = torch.zeros(active, device=self.downs[0].device)
        for down in self.downs:
            if down.grad is not None:
                total += (down * down.grad).abs().sum(1)[:active]
        for up in self.ups:
            if up.grad is not None:
                total += (up * up.grad).abs().sum(0)[:active]
        return total.mean()

    def withhold(self, active: int) -> None:
        """Take the gradient of the ranks that are not active."""
        for down in self.downs:
            if down.grad is not None:
                down.grad[active:] = 0
        for up in self.ups:
            if up.grad is not None:
                up.grad[:, active:] = 0


class RankGrowth:
    """Grows the active ranks of the experts that learn, while they are trained.

    Deterministic, and the same on every process that sees the same gradients and routing.

    Args:
        named: the model's parameters, by their names in a checkpoint.
        experts: those that learn; the others keep all their ranks.
        initial: active ranks of every expert in every layer at the start.
        budget: share of all ranks active at the end, at most 1.
        every: steps between growths.
        steps: of the run; the budget is spent in even portions over its growths.

    Attributes:
        active: active ranks of each (expert, layer), as far as it has grown.

    Raises:
        TrainingError: no expert learns, the start is above the budget already, or the run is too
            short for a single growth.
    """

    def __init__(
        self,
        named: Mapping[str, nn.Parameter],
        *,
        experts: Collection[str],
        initial: int,
        budget: float,
        every: int,
        steps: int,
    ) -> None:
        self._cells = _cells(named, experts)
        if not self._cells:
            raise TrainingError("growth: no expert learns: give one a learning rate above 0")
        capacity = [cell.capacity for cell in self._cells]
        self._ranks = torch.tensor([min(initial, whole) for whole in capacity])
        self._frequency = torch.zeros(len(capacity))
        self._sensitivity = torch.zeros(len(capacity))
        self._target = round(budget * sum(capacity))
        missing = self._target - int(self._ranks.sum())
        if missing < 0:
            raise TrainingError(
                f"growth: {int(self._ranks.sum())} ranks are active at the start, the budget "
                f"{budget:g} allows {self._target} of {sum(capacity)}: lower growth.initial or "
                "raise growth.budget"
            )
        self._every, self._steps = every, steps
        n_growths = (steps - 1) // every  # none after the last step, which would teach it nothing
        if missing and not n_growths:
            raise TrainingError(
                f"growth: every {every} steps, in a run of {steps}: expected fewer steps between "
                "growths than the run has"
            )
        self._portion = -(-missing // n_growths) if n_growths else 0

    @property
    def active(self) -> dict[tuple[str, int], int]:
        """See the class."""
        ranks = self._ranks.tolist()
        return {(c.expert, c.layer): n for c, n in zip(self._cells, ranks, strict=True)}

    def before_step(self, step: int) -> None:
        """Silence what is not active: at the start, a checkpoint may bring ranks that are."""
        for cell, active in zip(self._cells, self._ranks.tolist(), strict=True):
            cell.silence(active)

    def after_backward(self, step: int, routing: Mapping[str, Tensor]) -> None:
        """Note how salient each pair is, and withhold the gradient of the silent ranks.

        Args:
            step: 0 for the first.
            routing: mean weight of each expert over the step's rows, float32 `[layers]`.
        """
        ranks = self._ranks.tolist()
        found = [c.sensitivity(n) for c, n in zip(self._cells, ranks, strict=True)]
        for cell, active in zip(self._cells, ranks, strict=True):
            cell.withhold(active)
        used = torch.stack([routing[cell.expert][cell.layer] for cell in self._cells])
        self._sensitivity.lerp_(torch.stack(found).cpu(), 1 - _DECAY)
        self._frequency.lerp_(used.cpu(), 1 - _DECAY)

    def after_update(self, step: int) -> None:
        """Grow where it is due."""
        if (step + 1) % self._every == 0 and step + 1 < self._steps:
            missing = self._target - int(self._ranks.sum())
            self._grow(min(self._portion, missing))

    def _grow(self, portion: int) -> None:
        """One more rank for the most salient pairs, and further rounds while any is left."""
        saliency = self._frequency * self._sensitivity
        order = saliency.argsort(descending=True, stable=True).tolist()
        while portion:
            room = [at for at in order if self._ranks[at] < self._cells[at].capacity]
            for at in room[:portion]:
                self._ranks[at] += 1
            portion -= len(room[:portion])

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs: ranks int64, averages float32, each `[pairs]`."""
        return {
            "ranks": self._ranks.clone(),
            "frequency": self._frequency.clone(),
            "sensitivity": self._sensitivity.clone(),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Bring back a state.

        Raises:
            TrainingError: it is of other experts or layers, or incomplete.
        """
        own = self.state()
        if {k: t.shape for k, t in own.items()} != {k: t.shape for k, t in state.items()}:
            raise TrainingError(
                "the saved state of the growth of ranks does not fit the experts: delete the run's "
                "folder to start again"
            )
        self._ranks.copy_(state["ranks"])
        self._frequency.copy_(state["frequency"])
        self._sensitivity.copy_(state["sensitivity"])


def _cells(named: Mapping[str, nn.Parameter], experts: Collection[str]) -> list[_Cell]:
    cells: dict[tuple[str, int], _Cell] = {}
    for name, parameter in named.items():
        kind, owner, *_ = name.split(".")
        if kind == "experts" and owner in experts:
            cell = cells.setdefault((owner, layer_of(name)), _Cell(owner, layer_of(name)))
            (cell.downs if ".lora_A." in name else cell.ups).append(parameter)
    return [cells[key] for key in sorted(cells)]
