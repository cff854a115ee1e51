"""Models that were not made together: one finds, another reranks, a third reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.evaluation import Embedder, Models, Ranker, System, describe_checkpoint
from unimoer_rag.model import Side
from unimoer_rag.retrieval import BM25Encoder, Embeds, NoVectors

__all__ = ["TwoStage", "bm25", "bm25_beir", "one_model", "separate_models"]

Builder = Callable[[Models], System]


class TwoStage:
    """A system of separate parts; see `System`.

    Args:
        name: what results call it.
        embedder: first stage; None finds by words alone (BM25).
        ranker: second stage; None reranks nothing. It may be the embedder.
        reader: reads answers; None reads none.
        bm25: how words are weighed where there is no embedder.
    """

    def __init__(
        self,
        name: str,
        *,
        embedder: Embedder | None = None,
        ranker: Ranker | None = None,
        reader: Engine | None = None,
        bm25: BM25Encoder | None = None,
    ) -> None:
        self.name, self.embedder, self.ranker, self.reader = name, embedder, ranker, reader
        self._bm25 = bm25

    @property
    def reranks(self) -> bool:
        """Whether it has a second stage."""
        return self.ranker is not None

    @property
    def modules(self) -> Sequence[torch.nn.Module]:
        """Everything that is loaded; what two parts share is there once."""
        loaded = [
            m for part in (self.embedder, self.ranker) if part is not None for m in part.modules
        ]
        if self.reader is not None:
            loaded.append(self.reader.model)
        return list({id(module): module for module in loaded}.values())

    def describe(self) -> Mapping[str, Any]:
        """The models' names, and what each part is made of: None where there is none."""
        embedder = None if self.embedder is None else dict(self.embedder.describe())
        reranker = None if self.ranker is None else dict(self.ranker.describe())
        names = [str(part["model"]) for part in (embedder, reranker) if part is not None]
        return {
            "checkpoint": " + ".join(dict.fromkeys(names)) or None,
            "embedder": embedder,
            "reranker": reranker,
            "reader": None if self.reader is None else describe_checkpoint(self.reader.model),
        }

    @property
    def embeds(self) -> Embeds:
        """The embedder behind the port of an index; what embeds nothing where there is none."""
        return NoVectors(self._bm25) if self.embedder is None else _Port(self.embedder)

    def rank(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float32]]:
        """The reranker's scores; without one, the order given. See `System.rank`."""
        if self.ranker is None:
            return [-np.arange(len(texts), dtype=np.float32) for texts in documents]
        return [
            self.ranker.rank(question, texts)
            for question, texts in zip(questions, documents, strict=True)
        ]

    def forget(self) -> None:
        """Empty the cache of what reads; no other part keeps what an index would not hold."""
        if self.reader is not None:
            self.reader.cache.clear()


class _Port:
    """An embedder with what an index records of it; see `Embeds`."""

    tokenizer = None  # the documents of data sets are passages already

    def __init__(self, embedder: Embedder) -> None:
        self._embedder, self.dimension = embedder, embedder.dimension
        # As for our own models, an index serves every precision.
        facts = {key: fact for key, fact in embedder.describe().items() if key != "dtype"}
        self.checkpoint = str(facts["model"])
        self.checkpoint_digest = hashlib.sha256(
            json.dumps(facts, sort_keys=True).encode()
        ).hexdigest()

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        return self._embedder.embed(texts, side)


class _Both(Embedder, Ranker, Protocol):
    """One model for both stages."""


def bm25(models: Models) -> System:
    """BM25, and nothing behind it."""
    return TwoStage("bm25", reader=models.reader)


def bm25_beir(models: Models) -> System:
    """BM25 with k1 and b of the one that BEIR's published figures are of (Anserini's defaults)."""
    return TwoStage("bm25-beir", reader=models.reader, bm25=BM25Encoder(k1=0.9, b=0.4))


def separate_models(
    name: str, finds: Callable[..., Embedder], ranks: Callable[..., Ranker]
) -> Builder:
    """What builds a system of two models.

    Args:
        name: of the system.
        finds: makes the first of its `embedder`, with `device` and `dtype`.
        ranks: makes the second of its `reranker` in the same way.
    """

    def build(models: Models) -> System:
        return TwoStage(
            name,
            embedder=finds(models.embedder, **models.where),
            ranker=ranks(models.reranker, **models.where),
            reader=models.reader,
        )

    return build


def one_model(name: str, part: Callable[..., _Both]) -> Builder:
    """What builds a system whose one model, its `embedder`, finds and ranks."""

    def build(models: Models) -> System:
        both = part(models.embedder, **models.where)
        return TwoStage(name, embedder=both, ranker=both, reader=models.reader)

    return build
