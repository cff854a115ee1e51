"""The routed model: a frozen backbone, experts on its linear layers, a router, a head a task.

It runs rows. What users call, and how it comes from and goes to disk, is `UniMoER`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.batching import Batch, pad_rows
from unimoer_rag.model.forward import States, encode
from unimoer_rag.model.home import Home
from unimoer_rag.model.layers.experts import (
    ExpertSpec,
    RoutedLinear,
    attach_experts,
    attach_router,
    place_expert,
)
from unimoer_rag.model.layers.merged import constant_weights, merge_layers
from unimoer_rag.model.routers import make_router
from unimoer_rag.model.rows import Row, RowMaker, Side
from unimoer_rag.model.spec import ModelSpec
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.tasks.head import Footing, Output, read_out

if TYPE_CHECKING:
    from pathlib import Path

    from unimoer_rag.model.io.backbone import Backbone
    from unimoer_rag.model.memory import MemoryPlan
    from unimoer_rag.model.prefix import PrefixStore

__all__ = ["RoutedModel"]


class RoutedModel(nn.Module):
    """A frozen backbone whose linear layers have routed experts, and a head for each task.

    Args:
        backbone: a loaded backbone; its linear layers are wrapped in place.
        name: how the backbone is resolved (see `resolve_backbone`), kept for saving.
        spec: its experts, tasks and routing.
        options: fields of `ModelSpec` that take the place of the spec's.

    Attributes:
        spec: its experts, tasks and routing; changed by this class's methods alone.
        unpadded: batches run without padding in inference (see `set_unpadded`).
        padded_attention: the attention implementation that padded batches run with.
        share_prefixes: what rows of a batch begin with runs once (see `model.prefix`); of decoders
            alone.
        checkpoint: where it came from, in words.
        checkpoint_digest: identity of the checkpoint it was loaded from.
        merged: tasks whose experts are folded into weights of their own (see `merge`).
        checkpoint_folder: where that lies; None for a bare backbone.
        memory_plan: what was chosen for a memory budget; None where there was none.
        quantization: of the frozen weights, one of `QUANTIZATIONS`; None where they are whole.
        published: how the backbone's folder says that it embeds; None where it does not say.

    Raises:
        InputError: an unknown router, gate or target, a name that cannot be one, or a task with an
            expert that does not exist.
    """

    def __init__(
        self, backbone: Backbone, *, name: str, spec: ModelSpec | None = None, **options: Any
    ) -> None:
        super().__init__()
        self.spec = replace(spec or ModelSpec(), **options)
        self.causal = backbone.family == "decoder"
        for task in self.spec.tasks:
            self._check_order(task)
        self.backbone_name = name
        self.path: Path = backbone.path
        self.quantization = backbone.quantization
        self.backbone = backbone.model
        self.width = backbone.width
        self.tokenizer = backbone.tokenizer
        self.published = backbone.published
        self.rows = RowMaker(
            backbone.tokenizer,
            causal=self.causal,
            max_positions=backbone.max_positions,
            query_instruction=self.query_instruction,
            document_instruction=self.document_instruction,
            published=backbone.published,
        )
        # A tuple: they are the backbone's, not registered a second time.
        self.layers = tuple(backbone.layers)
        self.n_layers = len(self.layers)
        attach_experts(self.layers, self.spec.experts, self.spec.targets)
        self.router = make_router(
            self.spec.router,
            self.spec.router_options,
            width=self.width,
            n_layers=self.n_layers,
            ranks=self.spec.ranks,
            tasks=tuple(self.tasks),
            gate=self.spec.gate,
        )
        attach_router(self.layers, self.router)
        self.router.to(self.device)
        self.heads = nn.ModuleDict({task.name: self.new_head(task) for task in self.spec.tasks})
        config: Any = backbone.model.config
        self._typed = getattr(config, "type_vocab_size", 0) > 1
        if backbone.published is not None and backbone.published.cross is not None:
            self._typed = self._typed and self.rows.typed
        self.merged: tuple[Task, ...] = ()
        self.unpadded = False
        self.padded_attention: str = config._attn_implementation
        # Here, not above: it imports transformers, which a loaded backbone has done already.
        from unimoer_rag.model.prefix import can_keep_prefixes

        self.share_prefixes = can_keep_prefixes(self.backbone, causal=self.causal)
        self.set_origin(f"{name} (frozen backbone)", "")
        self.memory_plan: MemoryPlan | None = None
        self._home = Home()

    def _check_order(self, task: Task) -> None:
        if task.document_first and not self.causal:
            raise InputError(
                f"task {task.name!r} puts the document first, which serves decoders alone: leave "
                "document_first out on an encoder"
            )

    def new_head(self, task: Task) -> nn.Module:
        """A head for a task, as it is before training."""
        on = Footing(self.width, self.causal, self.tokenizer, self.published)
        return task.head_type.build(task, on).to(self.device)

    # -- how it changes ---------------------------------------------------------------------

    def add_expert(self, name: str, spec: ExpertSpec) -> None:
        """Add a silent expert to every routed layer and to the router.

        Tasks that do not name it give bit for bit what they gave.

        Args:
            name: letters, digits, `-` and `_`.
            spec: its size and place.

        Raises:
            InputError: the name is taken or cannot be one, or the place does not exist.
        """
        grown = self.spec.with_expert(name, spec)
        place_expert(self.layers, name, spec)
        self.router.add_expert(spec.rank)
        self.spec = grown

    def remove_expert(self, name: str) -> None:
        """Take an expert that no task names out of every layer and the router.

        Tasks give bit for bit what they gave. Where an `Engine` runs the model, clear the engine's
        cache afterwards.

        Raises:
            InputError: there is no such expert, or a task names it.
        """
        smaller = self.spec.without_expert(name)
        self.router.remove_expert(list(self.experts).index(name))
        for layer in self.routed_layers().values():
            layer.remove_expert(name)
        self.spec = smaller

    def add_task(self, task: Task) -> None:
        """Add a task, with an untrained head.

        Raises:
            InputError: the name is taken, or the task names an expert that does not exist.
        """
        grown = self.spec.with_task(task)
        self._check_order(task)
        self.router.add_task(task.name)
        self.heads[task.name] = self.new_head(task).train(self.training)
        self.spec = grown

    def change_task(self, task: Task) -> None:
        """Put a task, of other settings, in the place of the one of its name; the head stays.

        Raises:
            InputError: there is no task of that name, its head is another, or it names an expert
                that does not exist.
        """
        before = self.task(task.name)
        if (task.head, task.labels) != (before.head, before.labels):
            raise InputError(
                f"task {task.name!r} has the head {before.head!r} here, which has learnt: remove "
                "the task, and add it with another head or other labels"
            )
        self._check_order(task)
        self.spec = self.spec.changed(task)

    def remove_task(self, name: str) -> None:
        """Take a task and its head out of the model; its experts stay.

        Raises:
            InputError: the model has no such task.
        """
        self.task(name)
        del self.heads[name]
        self.router.remove_task(name)
        self.spec = self.spec.without_task(name)

    # -- what it holds and where it is from -------------------------------------------------

    def merge(self, *tasks: str) -> None:
        """Fold the experts of tasks with constant routing into weights of their own.

        Batches of one such task then run at the bare backbone's speed, for the memory of its
        routed layers once more. To be called again after the experts change.

        Args:
            tasks: their names; those alone are merged from now on, so that `merge()` ends it.

        Raises:
            InputError: there is no such task, or its routing depends on the text. Nothing changed.
        """
        chosen = tuple(self.task(name) for name in dict.fromkeys(tasks))
        weights = {task: constant_weights(self, task) * task.strength for task in chosen}
        self.merged = ()
        merge_layers(self.routed_layers(), self.experts, weights, self.dtype)
        self.merged = chosen

    def pack(self) -> None:
        """Hold the experts in float16, as their file does: half the memory and the same numbers."""
        for routed in self.routed_layers().values():
            routed.pack()

    def set_unpadded(self, on: bool | Literal["auto"]) -> None:
        """Run batches in inference over real tokens alone, without padding.

        Args:
            on: "auto" does so where it is fast (torch has kernels for it on CUDA, in half
                precision), the backbone's attention is "sdpa" and it gives the same.

        Raises:
            InputError: `True`, and the backbone does not give the same without padding.
        """
        from unimoer_rag.model.layers.packed_attention import (
            PACKED_ATTENTION,
            has_kernels,
            runs_packed,
        )

        backbone: Any = self.backbone
        before = backbone.config._attn_implementation
        wanted = on
        if on == "auto":
            wanted = self.unpadded or (before == "sdpa" and has_kernels(self.device, self.dtype))
        if wanted == self.unpadded:
            return
        if not wanted:
            backbone.set_attn_implementation(self.padded_attention)
            self.unpadded = False
            return
        self.padded_attention = before
        backbone.set_attn_implementation(PACKED_ATTENTION)
        self.unpadded = runs_packed(self)
        if not self.unpadded:
            backbone.set_attn_implementation(before)
            if on != "auto":
                raise InputError(
                    f"a {backbone.config.model_type} does not give the same without padding: leave "
                    "set_unpadded out"
                )

    def set_origin(self, checkpoint: str, digest: str, folder: Path | None = None) -> None:
        """Say where it came from.

        Args:
            checkpoint: in words.
            digest: identity of what it was loaded from; an index belongs to one of them.
            folder: the checkpoint's.
        """
        self.checkpoint, self.checkpoint_digest = checkpoint, digest
        self.checkpoint_folder = folder

    def keep_plan(self, plan: MemoryPlan | None) -> None:
        """Say what was chosen for a memory budget; the first plan stays."""
        self.memory_plan = self.memory_plan or plan

    # -- what it is -------------------------------------------------------------------------

    @property
    def experts(self) -> Mapping[str, ExpertSpec]:
        """Its experts' sizes and places, by name, in order; to read alone."""
        return MappingProxyType(self.spec.experts)

    @property
    def tasks(self) -> Mapping[str, Task]:
        """What it can do, by name; to read alone (see `change_task`)."""
        return MappingProxyType({task.name: task for task in self.spec.tasks})

    @property
    def query_instruction(self) -> str:
        """What goes before a query that is embedded."""
        return self.spec.query_instruction

    @property
    def document_instruction(self) -> str:
        """What goes before a document that is embedded."""
        return self.spec.document_instruction

    @property
    def prompts(self) -> dict[Side, str]:
        """What goes before the texts that are embedded, by side."""
        return {"query": self.query_instruction, "document": self.document_instruction}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.backbone.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the backbone computes in; router and heads are always float32."""
        # Experts have a dtype of their own, and quantized weights are no parameters.
        named = self.backbone.named_parameters()
        return next(p.dtype for name, p in named if ".lora_" not in name)

    @property
    def dimension(self) -> int:
        """Size of an embedding."""
        says, embed = self.published, self.tasks.get("embed")
        framed = embed is not None and embed.head_type.as_published
        own = says is not None and (says.embeds or framed)
        return says.dimension(self.width) if says is not None and own else self.width

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            InputError: the model has no such task; names those it has.
        """
        return self.spec.task(name)

    def routed_layers(self) -> dict[str, RoutedLinear]:
        """Every routed linear layer, by its name in the backbone."""
        return {
            name: module
            for name, module in self.backbone.named_modules()
            if isinstance(module, RoutedLinear)
        }

    # -- forward ----------------------------------------------------------------------------

    def collate(self, rows: Sequence[Row], *, length: int = 0) -> Batch:
        """Pad rows (at least one) to the longest of them, on the model's device.

        Args:
            rows: the rows.
            length: that they are padded to, where the longest is shorter.
        """
        pad = self.tokenizer.pad_token_id
        filler = pad if pad is not None else 0
        return pad_rows(rows, filler=filler, typed=self._typed, device=self.device, length=length)

    def forward(self, batch: Batch) -> States:
        """Run the backbone over one batch whose rows may be of different tasks."""
        return encode(self, batch, unpadded=self.unpadded and not torch.is_grad_enabled())

    def read_out(self, batch: Batch, hidden: Tensor) -> list[Output]:
        """Each row's answer by its task's head, in row order."""
        return read_out(batch, hidden, self.heads)

    @torch.inference_mode()
    def run(self, rows: Sequence[Row], store: PrefixStore | None = None) -> list[Output]:
        """One batch of rows through backbone and heads, in inference mode.

        Args:
            rows: at least one.
            store: keeps what rows begin with for later batches (see `model.prefix`).

        Raises:
            UnimoerError: this process is a fork of the model's, without the threads torch runs on.
        """
        if torch.get_num_threads() > 1:
            self._home.check()
        from unimoer_rag.model.prefix import encode_by_prefix

        batch = self.collate(rows)
        hidden = encode_by_prefix(self, rows, store) if self.share_prefixes else None
        return self.read_out(batch, self(batch).hidden if hidden is None else hidden)
