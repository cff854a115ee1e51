"""UniMoER: what users call of a routed model, and how it comes from disk and goes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.model.batching import plan_batches
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.rows import Side
from unimoer_rag.model.tasks.head import Output
from unimoer_rag.model.tasks.jobs import (
    Job,
    Reading,
    classifying,
    embedding,
    ranking,
    reading,
    scoring,
)

if TYPE_CHECKING:
    from pathlib import Path

    from unimoer_rag.model.io.export.targets import Target

__all__ = ["UniMoER", "load_own"]

T = TypeVar("T")


class UniMoER(RoutedModel):
    """One model that embeds texts, scores query-document pairs and reads answers.

    Usually made by `UniMoER.from_pretrained("unimoer-minilm")`; its constructor's arguments and its
    attributes are those of `RoutedModel`.
    """

    probabilistic = True
    """What it ranks by are probabilities of relevance; see `retrieval.Ranks`."""

    def execute(self, job: Job[T], *, token_budget: int = 4096) -> T:
        """Run a job's rows in batches by token budget, here and now."""
        outputs: dict[int, Output] = {}
        for batch in plan_batches([len(row.ids) for row in job.rows], token_budget):
            done = self.run([job.rows[i] for i in batch])
            outputs.update(zip(batch, done, strict=True))
        return job.finish([outputs[i] for i in range(len(job.rows))])

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
            instruction: goes before every text; by default the backbone's own for the side.
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
    ) -> Self:
        """A new, untrained model on a backbone, which it equals exactly; never a shared instance.

        Args:
            name: see `resolve_backbone`.
            device: as for `from_pretrained`.
            dtype: as for `from_pretrained`.
            attention: an attention implementation of transformers (see `load_backbone`).
            options: a `ModelSpec` as `spec`, or fields of one: experts, tasks, router, gate,
                router_options, targets, query_instruction, document_instruction. What is not
                given is the backbone's, where its folder says how it embeds (`read_published`).

        Raises:
            BackboneError: the backbone cannot be had.
            InputError: an option has a value that cannot be used.
        """
        from unimoer_rag.model.io.loading import build

        return build(cls, name, device=device, dtype=dtype, attention=attention, **options)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        memory_budget: str | int | None = None,
    ) -> Self:
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
            cls, name, revision=revision, device=device, dtype=dtype, memory_budget=memory_budget
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

    def export(
        self,
        folder: str | Path,
        *,
        to: Target = "sentence-transformers",
        task: str | None = None,
        expert: str | None = None,
        plain_maxsim: bool = False,
    ) -> Path:
        """Write one task as an ordinary folder that other libraries load; returns the folder.

        The task's experts are folded into the backbone's weights (see `merge`).

        Args:
            folder: a new or an empty one; it is there whole or not at all.
            to: "sentence-transformers" (a task that embeds), "multi-vector" (late interaction, for
                its `MultiVectorEncoder`), "cross-encoder" (for its `CrossEncoder`), "onnx",
                "openvino" (a task that embeds, as a graph), or "peft" (one expert as a LoRA).
            task: its name; by default the first one that fits. For "peft", whose routing weight
                and strength are folded in.
            expert: for "peft": its name.
            plain_maxsim: for "multi-vector": compare a task's token states by MaxSim, where its own
                score (the head "late") cannot be had.

        Raises:
            InputError: no single folder gives the task; says why, and what is nearest.
            CheckpointError: something is in the folder, or it cannot be written.
            BackboneError: the backbone's files cannot be read, or not be written as a graph.
            MissingExtraError: what a target needs is not installed.
        """
        from unimoer_rag.model.io.export.targets import export

        return export(self, folder, to=to, task=task, expert=expert, plain_maxsim=plain_maxsim)


def load_own(
    name: str | Path, *, revision: str | None = None, device: str = "auto", dtype: str = "auto"
) -> UniMoER:
    """As `UniMoER.from_pretrained`, but an instance that nobody else holds: one to be changed."""
    from unimoer_rag.model.io import loading

    return loading.load_own(UniMoER, name, revision=revision, device=device, dtype=dtype)
