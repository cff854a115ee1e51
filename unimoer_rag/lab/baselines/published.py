"""Published models as parts of a system, each on a backbone of its own and by the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unimoer_rag.engine import Engine
from unimoer_rag.errors import BackboneError
from unimoer_rag.lab.baselines.pins import find_weights, identity_of_weights
from unimoer_rag.lab.baselines.pretrained import Pretrained
from unimoer_rag.lab.baselines.two_stage import separate_models
from unimoer_rag.model import BACKBONES, Side, Task, UniMoER, canonical

__all__ = ["PublishedEmbedder", "PublishedRanker", "build"]


class _Part(Pretrained):
    """One task of a published model; its arguments are those of `Pretrained`."""

    def _load(self) -> None:
        name = str(self.name_or_path)
        path, commit = find_weights(name, self.revision)
        # A backbone that is known by name is embedded as its entry says, whatever its folder says.
        wanted = name if canonical(name) in BACKBONES else path
        self.model = UniMoER.from_pretrained(wanted, device=self.device, dtype=self.dtype)
        self._engine = Engine.of(self.model)
        self._facts = {
            "model": name,
            **identity_of_weights(path, commit),
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The model."""
        return [self.model]

    def _told(self, task: Task) -> dict[str, Any]:
        """The weights, their precision and the longest row."""
        return {**self._facts, "max_tokens": min(task.max_tokens, self.model.rows.max_positions)}


class PublishedEmbedder(_Part):
    """A published model that embeds, with the prompts that its files name for either side.

    Raises:
        BackboneError: as for `Pretrained`; or it embeds nothing.
    """

    def _load(self) -> None:
        super()._load()
        if "embed" not in self.model.tasks:
            raise BackboneError(f"{self.name_or_path} embeds nothing: expected a model that embeds")
        self.dimension = self.model.dimension

    def describe(self) -> Mapping[str, Any]:
        """The weights, their precision and the prompts."""
        says = self.model.published
        own = {
            "query": self.model.query_instruction or (says.query_prompt if says else ""),
            "document": self.model.document_instruction or (says.document_prompt if says else ""),
        }
        prompts = {side: text for side, text in own.items() if text}
        return {**self._told(self.model.task("embed")), "prompts": prompts}

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        return self._engine.embed(texts, side)


class PublishedRanker(_Part):
    """A published cross-encoder; the sigmoid of its logit is the score.

    A late-interaction model will do too: its score is the mean over the query's tokens of MaxSim.

    Raises:
        BackboneError: as for `Pretrained`; or its files hold no trained head, or it gives several
            scores.
    """

    probabilistic = True

    def _load(self) -> None:
        super()._load()
        task = self.model.tasks.get("rerank")
        if task is None or not task.head_type.as_published:
            raise BackboneError(
                f"{self.name_or_path} holds a {type(self.model.backbone).__name__} and no trained "
                "head of a cross-encoder: expected one, such as cross-encoder/ms-marco-MiniLM-L6-v2"
            )

    def describe(self) -> Mapping[str, Any]:
        """The weights and their precision."""
        return self._told(self.model.task("rerank"))

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """See `Ranker.rank`."""
        return self._engine.rank(query, documents)


build = separate_models("two-models", PublishedEmbedder, PublishedRanker)
"""An embedder and a cross-encoder, each as it was published."""
