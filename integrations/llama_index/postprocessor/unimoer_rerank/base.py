"""Reranking of what any LlamaIndex retriever found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.schema import MetadataMode
from llama_index.postprocessor.unimoer_rerank.nodes import KeepsBest

if TYPE_CHECKING:
    from unimoer_rag.engine import SharedModel
    from unimoer_rag.model import UniMoER
    from unimoer_rag.retrieval import Reranker

__all__ = ["UniMoERRerank"]


class UniMoERRerank(KeepsBest):
    """Keeps the nodes that are most relevant for a query, as `UnifiedRetriever` orders hits.

    The nodes that come out are copies, scored by the probability of their relevance, best first.
    The score they came with is in `metadata["retrieval_score"]`, which no model is shown. Ties
    keep their order; a node without a visible character has the score 0.

    All that name one model share it while any of them lives, with `UniMoEREmbedding` and
    `UnifiedRetriever`. Pickled, copied or as a dictionary it is its settings. What names the
    model is fixed; for another, make another one.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        top_n: nodes to keep.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        base: callback_manager.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        InputError: `top_n` is below 1, or the device or dtype cannot be used.
        ValidationError: another setting is unknown or cannot be used (also a ValueError).

    >>> index.as_query_engine(                                         # doctest: +SKIP
    ...     similarity_top_k=50, node_postprocessors=[UniMoERRerank(top_n=5)]
    ... )
    """

    model_config = ConfigDict(extra="forbid")

    shown: ClassVar[MetadataMode] = MetadataMode.EMBED

    model: str = Field(frozen=True, description="Checkpoint's name or folder.")
    revision: str | None = Field(frozen=True, description="Commit of a Hub repository.")
    device: str = Field(frozen=True, description="Device the model runs on.")
    dtype: str = Field(frozen=True, description="Number type the model runs in.")

    _shared: SharedModel = PrivateAttr()

    def __init__(
        self,
        model: str = "unimoer-minilm",
        *,
        top_n: int = 5,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        **base: Any,
    ) -> None:
        # Here, since they import torch, which importing the adapter must not.
        from unimoer_rag.engine import SharedModel
        from unimoer_rag.retrieval import check_top_n

        check_top_n(top_n)
        settings: dict[str, Any] = {
            "model": model,
            "top_n": top_n,
            "revision": revision,
            "device": device,
            "dtype": dtype,
        }
        super().__init__(**settings, **base)
        self._shared = SharedModel(model, revision=revision, device=device, dtype=dtype)

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised objects."""
        return "UniMoERRerank"

    def _reranker(self) -> tuple[Reranker, str]:
        from unimoer_rag.retrieval import Reranker

        return Reranker(self._shared.engine), self.model

    @property
    def unimoer(self) -> UniMoER:
        """The live model, which everything that names the same checkpoint holds."""
        return self._shared.model
