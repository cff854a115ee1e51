"""Backward through several batches whose losses need all their outputs at once.

The rows of one draw may be too many for one forward. `whole` keeps the graphs of all batches until
the losses are there. `cached` is GradCache (Gao et al. 2021, 2101.06983): it lets each graph go,
takes the losses' gradients at the outputs, and runs every batch a second time to carry them on.
Memory is that of the largest batch; gradients are the same, for one more forward of every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.model import Output, tensors
from unimoer_rag.training.loop.forwards import Pass
from unimoer_rag.training.loop.gradients import Gradients, by_group
from unimoer_rag.training.objectives.objective import add

__all__ = ["Judge", "Run", "cached", "whole"]

Run = Callable[[int], Pass]
"""Runs the batch of that number with gradient; a second time, it gives the same."""
Judge = Callable[[list[list[Output]]], dict[str, Tensor]]
"""Losses by name from the outputs of all batches, in order."""


def whole(run: Run, batches: int, judge: Judge, gradients: Gradients) -> dict[str, Tensor]:
    """Add the gradients of the judge's and the routing's losses, and give these by name."""
    passes = [run(at) for at in range(batches)]
    found = judge([p.outputs for p in passes])
    for one in passes:
        add(found, one.losses)
    gradients.add(by_group(found))
    return _detached(found)


def cached(run: Run, batches: int, judge: Judge, gradients: Gradients) -> dict[str, Tensor]:
    """As `whole`, holding the graph of one batch at a time."""
    cut: list[list[Output]] = []
    for at in range(batches):
        cut.append([_cut(output) for output in run(at).outputs])
    found = judge(cut)
    leaves = [_floats(output) for outputs in cut for output in outputs]
    flat = [leaf for own in leaves for leaf in own]
    taught = gradients.add(by_group(found), flat)
    found = _detached(found)

    place = 0
    for at in range(batches):
        again = run(at)
        outputs = [t for output in again.outputs for t in _floats(output)]
        here = slice(place, place + len(outputs))
        place += len(outputs)
        carried = {g: _carry(outputs, at_leaves[here]) for g, at_leaves in taught.items()}
        gradients.add({g: c for g, c in carried.items() if c is not None} | by_group(again.losses))
        add(found, _detached(again.losses))
    return found


def _carry(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Tensor | None:
    """A loss whose gradient at the outputs is what was found there."""
    parts = [
        (output * gradient).sum()
        for output, gradient in zip(outputs, gradients, strict=True)
        if gradient is not None
    ]
    return torch.stack(parts).sum() if parts else None


def _floats(output: Output) -> list[Tensor]:
    """The tensors of an output that can have a gradient, in order."""
    if isinstance(output, Tensor):
        return [output]
    return [value for value in tensors(output).values() if value.is_floating_point()]


def _cut(output: Output) -> Output:
    """The same output without its graph, ready to be given a gradient."""
    if isinstance(output, Tensor):
        return output.detach().requires_grad_(True)
    own = tensors(output)
    floats: dict[str, Any] = {n: _cut(v) for n, v in own.items() if v.is_floating_point()}
    return replace(output, **floats)


def _detached(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: loss.detach() for name, loss in losses.items()}
