"""The forward of a routed backbone: one pass, or two where the router reads the bare one first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unimoer_rag.model.batching import Batch
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.layers.packing import packed, plan_packing
from unimoer_rag.model.layers.scope import make_scope, routing_scope
from unimoer_rag.model.routers import Decision, Router
from unimoer_rag.model.tasks import Task

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


def encode(
    backbone: nn.Module,
    router: Router,
    experts: Mapping[str, ExpertSpec],
    batch: Batch,
    *,
    n_layers: int,
    causal: bool,
    merged: Collection[Task] = (),
    unpadded: bool = False,
) -> States:
    """Run a backbone with its experts over one batch whose rows may be of different tasks.

    Args:
        backbone: in transformers' form.
        router: decides over its experts.
        experts: every expert of the model, in order.
        batch: the rows.
        n_layers: how many transformer layers there are.
        causal: the backbone is a decoder.
        merged: tasks whose experts are folded into weights of their own (`merge_tasks`).
        unpadded: run it over real tokens alone; its attention is `PACKED_ATTENTION`.
    """
    hidden = _packed_hidden if unpadded else _hidden
    return route(
        lambda: hidden(backbone, batch, causal=causal),
        router,
        experts,
        [row.task for row in batch.rows],
        batch.mask,
        n_layers=n_layers,
        causal=causal,
        merged=merged,
    )


def route(
    run: Callable[[], Tensor],
    router: Router,
    experts: Mapping[str, ExpertSpec],
    tasks: Sequence[Task],
    mask: Tensor,
    *,
    n_layers: int,
    causal: bool,
    merged: Collection[Task] = (),
) -> States:
    """Route a backbone's forwards over rows of these tasks.

    Args:
        run: one forward, to last hidden states; the routing in force is that of its rows.
        router: decides.
        experts: every expert of the model, in order.
        tasks: each row's task.
        mask: bool `[rows, tokens]`: real tokens.
        n_layers: how many transformer layers there are.
        causal: the backbone is a decoder.
        merged: tasks whose experts are folded into weights of their own (`merge_tasks`).
    """
    scope = make_scope(tasks, experts, n_layers=n_layers, mask=mask, causal=causal)
    if scope is None:
        return States(run(), (), ())
    if not torch.is_grad_enabled():
        distinct = set(tasks)
        heard = [task for task in distinct if task.strength]
        scope.single = all(router.has_no_choice(len(task.experts)) for task in heard)
        if len(distinct) == 1:
            task = tasks[0]
            scope.merged = task.name if task in merged else ""
            if scope.single:
                scope.factor = task.strength * experts[task.experts[0]].scale
    if router.two_passes and not (scope.single or scope.merged):
        # The bare backbone is frozen, and so is what it says.
        with routing_scope(None), torch.no_grad():
            scope.routing.frozen = run()
    with routing_scope(scope):
        hidden = run()
    return States(hidden, scope.routing.experts, tuple(scope.decisions))


def _hidden(backbone: nn.Module, batch: Batch, *, causal: bool) -> Tensor:
    inputs: dict[str, Any] = {"input_ids": batch.ids, "attention_mask": batch.mask.long()}
    if batch.types is not None:
        inputs["token_type_ids"] = batch.types
    if causal:
        inputs["use_cache"] = False
    hidden: Tensor = backbone(**inputs).last_hidden_state
    return hidden


def _packed_hidden(backbone: nn.Module, batch: Batch, *, causal: bool) -> Tensor:
    packing = plan_packing([len(row.ids) for row in batch.rows], batch.ids.device)
    # RoBERTa's embeddings number positions from behind the padding's.
    embeddings = getattr(backbone, "embeddings", None)
    reserved = getattr(embeddings, "padding_idx", None)
    first = 0 if reserved is None else int(reserved) + 1
    inputs: dict[str, Any] = {
        "input_ids": packing.pack(batch.ids),
        "position_ids": packing.positions + first,
    }
    if batch.types is not None:
        inputs["token_type_ids"] = packing.pack(batch.types)
    if causal:
        inputs["use_cache"] = False
    with packed(packing):
        hidden: Tensor = backbone(**inputs).last_hidden_state
    return packing.pad(hidden)
