"""UniMoER: one frozen backbone, routed experts on its linear layers, a head for each task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.batching import Batch, pad_rows, plan_batches
from unimoer_rag.model.forward import States, encode
from unimoer_rag.model.home import Home
from unimoer_rag.model.io.backbone import Backbone
from unimoer_rag.model.layers.experts import (
    ExpertSpec,
    RoutedLinear,
    attach_experts,
    attach_router,
    place_expert,
)
from unimoer_rag.model.layers.merged import merge_tasks
from unimoer_rag.model.routers import make_router
from unimoer_rag.model.rows import Row, RowMaker, Side
from unimoer_rag.model.tasks import DEFAULT_TASKS, Task, check_name
from unimoer_rag.model.tasks.jobs import (
    Job,
    Reading,
    classifying,
    embedding,
    ranking,
    reading,
    scoring,
)
from unimoer_rag.model.tasks.readout import Output, new_head, read_out

if TYPE_CHECKING:
    from pathlib import Path

    from unimoer_rag.model.memory import MemoryPlan
    from unimoer_rag.model.prefix import PrefixStore

__all__ = ["DEFAULT_EXPERTS", "Batch", "States", "UniMoER"]

T = TypeVar("T")

DEFAULT_EXPERTS: Mapping[str, ExpertSpec] = {
    "shared": ExpertSpec(rank=8, alpha=16),
    "embed": ExpertSpec(rank=8, alpha=16),
    "rerank": ExpertSpec(rank=8, alpha=16),
    "read": ExpertSpec(rank=8, alpha=16),
}


class UniMoER(nn.Module):
    """One model that embeds texts, scores query-document pairs and reads answers.

    Usually made by `UniMoER.from_pretrained("unimoer-minilm")`.

    Args:
        backbone: a loaded backbone; its linear layers are wrapped in place.
        name: how the backbone is resolved (see `resolve_backbone`), kept for saving.
        experts: size of each expert, by name.
        tasks: what the model can do.
        router: a key of `ROUTERS`.
        gate: a key of `GATES`.
        router_options: options of the router's own, such as `{"k": 8}` of "rank-wise".
        targets: names of the linear layers that get experts ("query", "dense"); all when empty.
        query_instruction: goes before a query that is embedded.

    Attributes:
        tasks: what it can do, by name.
        experts: its experts' sizes, by name, in order.
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

    Raises:
        InputError: an unknown router, gate or target, a name that cannot be one, or a task with an
            expert that does not exist.
    """

    probabilistic = True
    """What it ranks by are probabilities of relevance; see `retrieval.Ranks`."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        name: str,
        experts: Mapping[str, ExpertSpec] = DEFAULT_EXPERTS,
        tasks: Iterable[Task] = DEFAULT_TASKS,
        router: str = "per-layer",
        gate: str = "sparsegen",
        router_options: Mapping[str, int] = MappingProxyType({}),
        targets: Sequence[str] = (),
        query_instruction: str = "",
    ) -> None:
        super().__init__()
        self.causal = backbone.family == "decoder"
        self.experts = dict(experts)
        for expert in self.experts:
            check_name(expert, "an expert")
        self.tasks: dict[str, Task] = {}
        for task in tasks:
            self._check_task(task)
            self.tasks[task.name] = task
        self.backbone_name, self.router_kind, self.gate_kind = name, router, gate
        self.router_options = dict(router_options)
        self.targets, self.query_instruction = tuple(targets), query_instruction
        self.path: Path = backbone.path
        self.quantization = backbone.quantization
        self.backbone = backbone.model
        self.width = backbone.width
        self.tokenizer = backbone.tokenizer
        self.rows = RowMaker(
            backbone.tokenizer,
            causal=self.causal,
            max_positions=backbone.max_positions,
            query_instruction=query_instruction,
        )
        # A tuple: they are the backbone's, not registered a second time.
        self.layers = tuple(backbone.layers)
        self.n_layers = len(self.layers)
        attach_experts(self.layers, self.experts, self.targets)
        self.router = make_router(
            router,
            self.router_options,
            width=self.width,
            n_layers=self.n_layers,
            ranks=tuple(spec.rank for spec in self.experts.values()),
            tasks=tuple(self.tasks),
            gate=gate,
        )
        attach_router(self.layers, self.router)
        self.router.to(self.device)
        self.heads = nn.ModuleDict(
            {
                name: self.new_head(task)
                for name, task in self.tasks.items()
                if task.head != "vector"
            }
        )
        config: Any = backbone.model.config
        self._typed = getattr(config, "type_vocab_size", 0) > 1
        self.merged: tuple[Task, ...] = ()
        self.unpadded = False
        self.padded_attention: str = config._attn_implementation
        # Here, not above: it imports transformers, which a loaded backbone has done already.
        from unimoer_rag.model.prefix import can_keep_prefixes

        self.share_prefixes = can_keep_prefixes(self.backbone, causal=self.causal)
        self.checkpoint = f"{name} (frozen backbone)"
        self.checkpoint_digest = ""
        self.checkpoint_folder: Path | None = None
        self.memory_plan: MemoryPlan | None = None
        self._home = Home()

    def _check_task(self, task: Task) -> None:
        check_name(task.name, "a task")
        if task.name in self.tasks:
            raise InputError(f"the task {task.name!r} exists already: choose another name")
        for expert in task.experts:
            if expert not in self.experts:
                raise InputError(
                    f"task {task.name!r} names the expert {expert!r}, which does not exist: "
                    f"expected one of {', '.join(self.experts)}"
                )
        if task.document_first and not self.causal:
            raise InputError(
                f"task {task.name!r} puts the document first, which serves decoders alone: leave "
                "document_first out on an encoder"
            )

    def new_head(self, task: Task) -> nn.Module:
        """A head for a task, as it is before training; not for "vector", which has none."""
        head = new_head(task, width=self.width, causal=self.causal, tokenizer=self.tokenizer)
        return head.to(self.device)

    # -- what it grows by -------------------------------------------------------------------

    def add_expert(self, name: str, spec: ExpertSpec) -> None:
        """Add a silent expert to every routed layer and to the router.

        Tasks that do not name it give bit for bit what they gave.

        Args:
            name: letters, digits, `-` and `_`.
            spec: its size and place.

        Raises:
            InputError: the name is taken or cannot be one, or the place does not exist.
        """
        check_name(name, "an expert")
        if name in self.experts:
            raise InputError(f"the expert {name!r} exists already: choose another name")
        place_expert(self.layers, name, spec)
        self.router.add_expert(spec.rank)
        self.experts[name] = spec

    def add_task(self, task: Task) -> None:
        """Add a task, with an untrained head where it needs one.

        Raises:
            InputError: the name is taken, or the task names an expert that does not exist.
        """
        self._check_task(task)
        self.router.add_task(task.name)
        if task.head != "vector":
            self.heads[task.name] = self.new_head(task).train(self.training)
        self.tasks[task.name] = task

    # -- what it gives memory for -----------------------------------------------------------

    def merge(self, *tasks: str) -> None:
        """Fold the experts of tasks with constant routing into weights of their own.

        Batches of one such task then run at the bare backbone's speed, for the memory of its
        routed layers once more. To be called again after the experts change.

        Args:
            tasks: their names; those alone are merged from now on, so that `merge()` ends it.

        Raises:
            InputError: there is no such task, or its routing depends on the text. Nothing changed.
        """
        merge_tasks(self, [self.task(name) for name in dict.fromkeys(tasks)])

    # -- where and what it is ---------------------------------------------------------------

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
        return self.width

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            InputError: the model has no such task; names those it has.
        """
        try:
            return self.tasks[name]
        except KeyError:
            raise InputError(
                f"this model has no task {name!r}: it has {', '.join(self.tasks)}"
            ) from None

    def routed_layers(self) -> dict[str, RoutedLinear]:
        """Every routed linear layer, by its name in the backbone."""
        return {
            name: module
            for name, module in self.backbone.named_modules()
            if isinstance(module, RoutedLinear)
        }

    # -- forward ----------------------------------------------------------------------------

    def collate(self, rows: Sequence[Row]) -> Batch:
        """Pad rows (at least one) to the longest of them, on the model's device."""
        pad = self.tokenizer.pad_token_id
        filler = pad if pad is not None else 0
        return pad_rows(rows, filler=filler, typed=self._typed, device=self.device)

    def forward(self, batch: Batch) -> States:
        """Run the backbone over one batch whose rows may be of different tasks."""
        return encode(
            self.backbone,
            self.router,
            self.experts,
            batch,
            n_layers=self.n_layers,
            causal=self.causal,
            merged=self.merged,
            unpadded=self.unpadded and not torch.is_grad_enabled(),
        )

    def set_unpadded(self, on: bool | Literal["auto"]) -> None:
        """Run batches in inference over real tokens alone, without padding.

        Args:
            on: "auto" does so where it is fast (torch has kernels for it on CUDA, in half
                precision), the backbone's attention is "sdpa" and it gives the same.

        Raises:
            InputError: `True`, and the backbone does not give the same without padding.
        """
        from unimoer_rag.model.layers.packed_attention import set_unpadded

        set_unpadded(self, on)

    def read_out(self, batch: Batch, hidden: Tensor) -> list[Output]:
        """Each row's answer by its task's head, in row order."""
        return read_out(batch, hidden, self.heads, causal=self.causal)

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

    def execute(self, job: Job[T], *, token_budget: int = 4096) -> T:
        """Run a job's rows in batches by token budget, here and now."""
        outputs: dict[int, Output] = {}
        for batch in plan_batches([len(row.ids) for row in job.rows], token_budget):
            done = self.run([job.rows[i] for i in batch])
            outputs.update(zip(batch, done, strict=True))
        return job.finish([outputs[i] for i in range(len(job.rows))])

    # -- what users call --------------------------------------------------------------------

    def embed(
        self,
        texts: Sequence[str],
        side: Side = "document",
        *,
        instruction: str | None = None,
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:
        """L2-normalised embeddings, float32 `[n, dimensions]`, in input order.

        Args:
            texts: the texts.
            side: what they are, "query" or "document".
            instruction: goes before every text; by default the backbone's own before queries.
            dimensions: size of the embeddings, where the checkpoint was trained to be cut.
        """
        return self.execute(
            embedding(self, texts, side, instruction=instruction, dimensions=dimensions)
        )

    def score(
        self, query: str, documents: Sequence[str], *, task: str = "rerank", logits: bool = False
    ) -> NDArray[np.float32]:
        """Relevance of each document for the query, float32 `[n]`.

        Args:
            query: the query.
            documents: the documents.
            task: "rerank" (the checkpoint's default form) or another scoring task it has.
            logits: give raw logits in place of probabilities in [0, 1].
        """
        return self.execute(scoring(self, query, documents, task, logits=logits))

    def rank(
        self, query: str, documents: Sequence[str], *, logits: bool = False
    ) -> NDArray[np.float32]:
        """Scores to order a query's results by, float32 `[n]`: `score` with feedback among them.

        The best one's score is that of `score`; see `LateHead.rank`. A checkpoint without
        feedback ranks by `score`.
        """
        return self.execute(ranking(self, query, documents, logits=logits))

    def read(self, question: str, passages: Sequence[str], *, task: str = "read") -> list[Reading]:
        """The best answer span of each passage, with its probability and that of none.

        Args:
            question: the question.
            passages: the passages.
            task: "read" or another reading task it has.
        """
        return self.execute(reading(self, question, passages, task))

    def classify(
        self,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        task: str = "classify",
        logits: bool = False,
    ) -> NDArray[np.float32]:
        """Probability of each label of `model.task(task).labels`, float32 `[n, labels]`.

        Args:
            texts: the texts, or the first text of each pair.
            pairs: the second text of each pair, read together with the first.
            task: a task with the head "class".
            logits: give raw logits in place of probabilities that sum to 1.
        """
        return self.execute(classifying(self, texts, pairs, task, logits=logits))

    # -- disk -------------------------------------------------------------------------------

    @classmethod
    def from_backbone(
        cls,
        name: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        attention: str = "sdpa",
        **options: Any,
    ) -> UniMoER:
        """A new, untrained model on a backbone, which it equals exactly; never a shared instance.

        Args:
            name: see `resolve_backbone`.
            device: as for `from_pretrained`.
            dtype: as for `from_pretrained`.
            attention: an attention implementation of transformers (see `load_backbone`).
            options: experts, tasks, router, gate, router_options, targets, query_instruction of
                `UniMoER`.

        Raises:
            BackboneError: the backbone cannot be had.
            InputError: an option has a value that cannot be used.
        """
        from unimoer_rag.model.io.loading import build

        return build(name, device=device, dtype=dtype, attention=attention, **options)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        memory_budget: str | int | None = None,
    ) -> UniMoER:
        """The model of a checkpoint; the live instance where someone holds it already.

        Whoever changes the instance (its weights, experts or tasks) changes it for all holders.

        Args:
            name: a shipped checkpoint ("unimoer-minilm"), a folder, a Hub repository, or a
                backbone's name for the frozen backbone itself.
            revision: commit to pin a Hub repository to.
            device: "cpu", "cuda", "cuda:1", "mps" or "auto".
            dtype: "float32", "bfloat16", "float16" or "auto"; or, for frozen weights in fewer
                bits under experts and activations as "auto" has them, "int8" or "int4".
            memory_budget: "4GB", "512MiB" or bytes that the process may take on the device. With
                the dtype "auto", what that would be gives way to "int8" and "int4" until it fits;
                batches and the engine's cache shrink before that. `memory_plan` says what was
                chosen; an instance that is live already keeps its plan and its engine.

        Raises:
            CheckpointError: no checkpoint there, or a damaged one.
            BackboneError: its backbone cannot be had.
            InputError: the device or dtype cannot be used, or nothing fits the budget.
        """
        from unimoer_rag.model.io.loading import load

        return load(
            name, revision=revision, device=device, dtype=dtype, memory_budget=memory_budget
        )

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write experts, router and heads (never the backbone) to a folder, and return it.

        Expert matrices are kept in float16, router and heads in float32.

        Raises:
            CheckpointError: the folder cannot be written, or a weight is not finite.
        """
        from unimoer_rag.model.io.checkpoint import save

        return save(self, folder)

    def push_to_hub(self, repo: str, *, private: bool = True, token: str | None = None) -> str:
        """Upload the checkpoint to the Hub; returns its URL.

        Raises:
            CheckpointError: the upload failed.
        """
        from unimoer_rag.model.io.checkpoint import push

        return push(self, repo, private=private, token=token)
