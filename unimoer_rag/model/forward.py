"""The forward of a routed backbone: one pass, or two where the router reads the bare one first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unimoer_rag.model.batching import Batch
from unimoer_rag.model.io.architectures import first_position
from unimoer_rag.model.layers.packing import packed, plan_packing
from unimoer_rag.model.layers.scope import make_scope, routing_scope
from unimoer_rag.model.routers import Decision
from unimoer_rag.model.tasks import Task

if TYPE_CHECKING:
    from unimoer_rag.model.core import RoutedModel

__all__ = ["States", "encode", "route"]


@dataclass(frozen=True, slots=True)
class States:
    """What a forward gives.

    Attributes:
        hidden: last hidden states `[rows, tokens, width]` in the backbone's dtype.
        experts: the experts the batch could use, in the model's order.
        routing: the router's decision at each transformer layer; empty where no expert was on, or
            all were merged.
    """

    hidden: Tensor
    experts: tuple[str, ...]
    routing: Sequence[Decision]

    @property
    def weights(self) -> Sequence[Tensor]:
        """Float32 routing weights of each layer, `[rows, 1 or tokens, experts]`."""
        return [decision.weights for decision in self.routing]


def encode(model: RoutedModel, batch: Batch, *, unpadded: bool = False) -> States:
    """Run a backbone with its experts over one batch whose rows may be of different tasks.

    Args:
        model: the model.
        batch: the rows.
        unpadded: run it over real tokens alone, where these see each other; its attention is
            `PACKED_ATTENTION`.
    """
    packs = unpadded and batch.attended is batch.mask
    hidden = _packed_hidden if packs else _hidden
    tasks = [row.task for row in batch.rows]
    return route(
        model, tasks, batch.mask, lambda: hidden(model.backbone, batch, causal=model.causal)
    )


def route(
    model: RoutedModel, tasks: Sequence[Task], mask: Tensor, run: Callable[[], Tensor]
) -> States:
    """Route a backbone's forwards over rows of these tasks.

    Args:
        model: the model.
        tasks: each row's task.
        mask: bool `[rows, tokens]`: real tokens.
        run: one forward, to last hidden states; the routing in force is that of its rows.
    """
    experts, router = model.spec.experts, model.router
    scope = make_scope(tasks, experts, n_layers=model.n_layers, mask=mask, causal=model.causal)
    if scope is None:
        return States(run(), (), ())
    if not torch.is_grad_enabled():
        scope.shorten(tasks, experts, router, model.merged)
    if router.two_passes and not (scope.single or scope.merged):
        # The bare backbone is frozen, and so is what it says.
        with routing_scope(None), torch.no_grad():
            scope.show_frozen(run())
    with routing_scope(scope):
        hidden = run()
    return States(hidden, scope.routing.experts, tuple(scope.decisions))


def _hidden(backbone: nn.Module, batch: Batch, *, causal: bool) -> Tensor:
    inputs: dict[str, Any] = {"input_ids": batch.ids, "attention_mask": batch.attended.long()}
    if batch.types is not None:
        inputs["token_type_ids"] = batch.types
    if causal:
        inputs["use_cache"] = False
    hidden: Tensor = backbone(**inputs).last_hidden_state
    return hidden


def _packed_hidden(backbone: nn.Module, batch: Batch, *, causal: bool) -> Tensor:
    packing = plan_packing([len(row.ids) for row in batch.rows], batch.ids.device)
    inputs: dict[str, Any] = {
        "input_ids": packing.pack(batch.ids),
        "position_ids": packing.positions + first_position(backbone),
    }
    if batch.types is not None:
        inputs["token_type_ids"] = packing.pack(batch.types)
    if causal:
        inputs["use_cache"] = False
    with packed(packing):
        hidden: Tensor = backbone(**inputs).last_hidden_state
    return packing.pad(hidden)
