"""Gradual unfreezing: experts begin to learn layer by layer, from the top down.

The layers nearest the output adapt first, and the ones below join when those have settled
(Howard & Ruder 2018, ULMFiT, section 3.3). Router and heads learn from the start.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from unimoer_rag.model import layer_of

__all__ = ["GradualUnfreezing", "unfrozen"]


def unfrozen(step: int, layer: int, *, layers: int, first: int, every: int) -> bool:
    """Whether the experts of a transformer layer learn at a step.

    Args:
        step: 0 for the first step.
        layer: 0 for the layer nearest the input.
        layers: how many there are.
        first: layers that learn from the start, counted from the top.
        every: steps until one more does.
    """
    return layers - layer <= first + step // every


class GradualUnfreezing:
    """Keeps the gradient from the layers whose turn has not come.

    A parameter without a gradient is skipped by the optimizer: its value and its moments stay
    untouched, and its count of updates begins when it does. The backward pass runs through every
    layer all the same, since the router below learns from the start; what a frozen layer would
    save is small, and parallel training needs the same set of parameters at every step.

    Args:
        named: the model's parameters, by their names in a checkpoint.
        layers: how many transformer layers the backbone has.
        first: layers that learn from the start, counted from the top.
        every: steps until one more does.
    """

    def __init__(
        self, named: Mapping[str, nn.Parameter], *, layers: int, first: int, every: int
    ) -> None:
        self._layers, self._first, self._every = layers, first, every
        self._experts = [
            (layer_of(name), parameter)
            for name, parameter in named.items()
            if name.startswith("experts.")
        ]

    def after_backward(self, step: int) -> None:
        """Drop the gradients of the layers that wait; before clipping, which they must not sway."""
        for layer, parameter in self._experts:
            if not unfrozen(step, layer, layers=self._layers, first=self._first, every=self._every):
                parameter.grad = None
