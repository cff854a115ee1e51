"""A model as mteb asks one: as an encoder, as a cross-encoder, and whole, as a search.

mteb (Muennighoff et al., "MTEB: Massive Text Embedding Benchmark", EACL 2023) is how the field
measures embedding models. It finds what a model can do by its methods, so that these are three
classes: one with all of them would be measured as a cross-encoder alone.

Needs the extra `mteb`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model import Side, UniMoER, ranking
from unimoer_rag.retrieval import Document, Mode, UnifiedRetriever

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta

__all__ = ["MtebEncoder", "MtebReranker", "MtebSearch"]

# Questions under way at once, as in our own measuring.
_BLOCK = 64


class _Measured:
    """What the three share: the model, and what mteb notes of it.

    Args:
        model: a loaded model, or the name of one (see `UniMoER.from_pretrained`).
        revision: commit of a Hub repository.
        device: where a model that is named is loaded.
        options: what mteb gives to every model; nothing here reads it.
    """

    kind = "dense"

    def __init__(
        self,
        model: UniMoER | str,
        revision: str | None = None,
        *,
        device: str | None = None,
        **options: Any,
    ) -> None:
        if isinstance(model, str):
            model = UniMoER.from_pretrained(model, revision=revision, device=device or "auto")
        self.model = model
        self.engine = Engine.of(model)

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Name, digest as the revision, sizes; mteb keeps results by the first two.

        Raises:
            MissingExtraError: mteb is not installed.
        """
        with needs_extra("mteb", "mteb", "measuring with mteb"):
            from mteb.models.model_meta import ModelMeta

        name = re.sub(r"[^\w.-]+", "-", self.model.checkpoint).strip("-")
        return ModelMeta.create_empty(
            {
                "name": f"unimoer-rag/{name}",
                "revision": self.model.checkpoint_digest or None,
                "model_type": [self.kind],
                "embed_dim": self.model.dimension,
                "max_tokens": self.model.rows.room(self.model.task("embed")),
                "n_parameters": sum(p.numel() for p in self.model.parameters()),
                "framework": ["PyTorch"],
            }
        )


class MtebEncoder(_Measured):
    """Embeds: mteb's `EncoderProtocol`, what its leaderboard measures."""

    def encode(
        self, inputs: Iterable[Mapping[str, Any]], *, prompt_type: Any = None, **options: Any
    ) -> NDArray[np.float32]:
        """Vectors, float32 `[texts, dimension]`.

        Args:
            inputs: batches with their texts under "text".
            prompt_type: "query" or "document"; None in tasks that know no sides, whose texts are
                embedded as documents are.
            options: the task and how mteb would batch: the engine batches by tokens.
        """
        side: Side = "query" if prompt_type == "query" else "document"
        return self.engine.embed(_texts(inputs), side)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines float32 `[first, second]` of L2-normalised vectors."""
        return _matrix(embeddings1) @ _matrix(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines float32 `[n]` of each pair of L2-normalised vectors."""
        return (_matrix(embeddings1) * _matrix(embeddings2)).sum(-1)


class MtebReranker(_Measured):
    """Scores pairs: mteb's `CrossEncoderProtocol`."""

    kind = "cross-encoder"

    def predict(
        self,
        inputs1: Iterable[Mapping[str, Any]],
        inputs2: Iterable[Mapping[str, Any]],
        **options: Any,
    ) -> NDArray[np.float32]:
        """The RERANK task's logits, float32 `[pairs]`.

        Neighbouring pairs of one query are its results, and ranked together: with feedback, where
        the checkpoint has it.

        Args:
            inputs1: batches with the pairs' queries under "text".
            inputs2: with their documents.
            options: as for `MtebEncoder.encode`.
        """
        pairs = list(zip(_texts(inputs1), _texts(inputs2), strict=True))
        groups = [
            (query, [document for _, document in group])
            for query, group in groupby(pairs, key=lambda pair: pair[0])
        ]
        return np.concatenate([np.zeros(0, np.float32), *_ranked(self, groups)])


class MtebSearch(_Measured):
    """Retrieves and reranks: mteb's `SearchProtocol`, a whole `UnifiedRetriever`.

    Args:
        model: as of all three.
        revision: likewise.
        device: likewise.
        mode: first stage.
        rerank: how many of its results are reranked; 0 for none.
        options: what mteb gives to every model; nothing here reads it.
    """

    def __init__(
        self,
        model: UniMoER | str,
        revision: str | None = None,
        *,
        device: str | None = None,
        mode: Mode = "dense",
        rerank: int = 100,
        **options: Any,
    ) -> None:
        super().__init__(model, revision, device=device)
        self.mode, self.depth = mode, rerank
        self._open = ExitStack()
        self._retriever: UnifiedRetriever | None = None
        self._corpus: dict[str, str] = {}

    def index(self, corpus: Iterable[Mapping[str, Any]], **options: Any) -> None:
        """Embed a task's corpus into an index of its own; the task's before is let go of.

        Args:
            corpus: documents: "id", "text", and "title" where they have one.
            options: as for `MtebEncoder.encode`.
        """
        self.close()
        self._corpus = {row["id"]: _content(row) for row in corpus}
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="unimoer-mteb-"))
        self._retriever = self._open.enter_context(
            UnifiedRetriever(self.model, index=folder, chunking="whole", mode=self.mode)
        )
        self._retriever.add(
            (Document(text, source=name) for name, text in self._corpus.items()), replace=False
        )

    def search(
        self,
        queries: Iterable[Mapping[str, Any]],
        *,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ) -> dict[str, dict[str, float]]:
        """Each query's results by document, with scores that fall in their order.

        Args:
            queries: "id", "text", and "instruction" where they have one.
            top_k: results of each.
            top_ranked: documents to rerank by query, in place of a search: tasks of reranking.
            options: as for `MtebEncoder.encode`.

        Raises:
            InputError: nothing was indexed.
        """
        if self._retriever is None:
            raise InputError("nothing is indexed yet: call index with the corpus before search")
        asked = {row["id"]: _query(row) for row in queries}
        if top_ranked is not None:
            return self._rerank(asked, top_ranked)
        found: dict[str, dict[str, float]] = {}
        names = list(asked)
        for at in range(0, len(names), _BLOCK):
            block = names[at : at + _BLOCK]
            hits = self._retriever.search_batch(
                [asked[name] for name in block], k=top_k, rerank=self.depth
            )
            for name, best in zip(block, hits, strict=True):
                found[name] = _falling([hit.source for hit in best])
        return found

    def _rerank(
        self, asked: Mapping[str, str], top_ranked: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, float]]:
        names = {query: list(top_ranked.get(query, ())) for query in asked}
        groups = [(asked[q], [self._corpus[d] for d in ids]) for q, ids in names.items() if ids]
        scores: Iterator[NDArray[np.float32]] = _ranked(self, groups)
        return {
            query: dict(zip(ids, map(float, next(scores)), strict=True)) if ids else {}
            for query, ids in names.items()
        }

    def close(self) -> None:
        """Let go of the index."""
        self._open.close()
        self._retriever = None


def _ranked(
    measured: _Measured, groups: Sequence[tuple[str, Sequence[str]]]
) -> Iterator[NDArray[np.float32]]:
    """Logits of each query's documents; a block is queued at once, to share batches."""
    for at in range(0, len(groups), _BLOCK):
        block = groups[at : at + _BLOCK]
        jobs = [ranking(measured.model, query, texts, logits=True) for query, texts in block]
        for future in [measured.engine.submit(job) for job in jobs]:
            yield future.result()


def _texts(batches: Iterable[Mapping[str, Any]]) -> list[str]:
    return [text for batch in batches for text in batch["text"]]


def _content(row: Mapping[str, Any]) -> str:
    """A document as mteb's own models read it: title and text."""
    return f"{row.get('title') or ''} {row['text']}".strip()


def _query(row: Mapping[str, Any]) -> str:
    """A query as mteb's own models read it: its text, then its instruction."""
    return f"{row['text']} {row.get('instruction') or ''}".strip()


def _falling(names: Sequence[str]) -> dict[str, float]:
    """Scores by rank: those of reranked results and of the rest are not on one scale."""
    return {name: float(len(names) - at) for at, name in enumerate(names)}


def _matrix(embeddings: Any) -> Tensor:
    vectors = torch.as_tensor(embeddings, dtype=torch.float32)
    return vectors if vectors.ndim > 1 else vectors.unsqueeze(0)
