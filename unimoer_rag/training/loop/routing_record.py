"""What the router did in a step: mean weights by task, transformer layer and expert."""

from __future__ import annotations

import torch
from torch import Tensor

from unimoer_rag.model import Batch, States, UniMoER
from unimoer_rag.training.losses.routing import row_means

__all__ = ["RoutingRecord"]


class RoutingRecord:
    """Adds up the routing of forwards; of one shape for a model, so that processes can average it.

    Args:
        model: whose routing it is.
    """

    def __init__(self, model: UniMoER) -> None:
        self._tasks, self._experts = dict(model.tasks), tuple(model.experts)
        shape = (len(self._tasks), model.n_layers, len(self._experts))
        self._sums = torch.zeros(shape, device=model.device)
        self._rows = torch.zeros(len(self._tasks), device=model.device)

    @torch.no_grad()
    def add(self, batch: Batch, states: States) -> None:
        """Add one forward: each row's mean over its decisions, padding left out."""
        names = list(self._tasks)
        task = torch.tensor([names.index(row.task.name) for row in batch.rows])
        task = task.to(self._rows.device)
        self._rows.index_add_(0, task, torch.ones_like(task, dtype=torch.float32))
        if not states.routing:
            return
        means = [row_means(w.detach(), batch.mask) for w in states.weights]
        active = torch.tensor([self._experts.index(e) for e in states.experts])
        whole = torch.zeros(len(task), *self._sums.shape[1:], device=self._sums.device)
        whole[..., active.to(whole.device)] = torch.stack(means, dim=1)
        self._sums.index_add_(0, task, whole)

    @property
    def tensor(self) -> Tensor:
        """All of it, flat; to be averaged over processes and set again."""
        return torch.cat([self._sums.flatten(), self._rows])

    @tensor.setter
    def tensor(self, values: Tensor) -> None:
        cells = self._sums.numel()
        self._sums, self._rows = values[:cells].view_as(self._sums), values[cells:]

    def by_task(self) -> dict[str, dict[str, float]]:
        """Mean weight of each expert a task may use over rows and layers, by task."""
        means = (self._sums.mean(1) / self._rows.clamp_min(1).unsqueeze(1)).tolist()
        rows = self._rows.tolist()
        return {
            name: {e: round(means[at][self._experts.index(e)], 4) for e in task.experts}
            for at, (name, task) in enumerate(self._tasks.items())
            if rows[at] and task.experts
        }
