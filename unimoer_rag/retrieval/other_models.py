"""Models of other libraries behind the ports: they find, or rank, in place of our own.

Each takes the live object, so none of the libraries is imported here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.model import Side
from unimoer_rag.retrieval.ports import Embeds
from unimoer_rag.retrieval.sparse import BM25Encoder

__all__ = ["CrossEncoderRanks", "LangChainEmbeds", "NoVectors", "SentenceEmbeds", "bm25_of"]

Floats = NDArray[np.float32]


class NoVectors:
    """Embeds nothing: for indexes that are searched by words alone (BM25), without a model.

    Args:
        bm25: how words are weighed.

    >>> UnifiedRetriever(NoVectors(), mode="sparse", chunking="whole")     # doctest: +SKIP
    """

    checkpoint = "no model (BM25)"
    checkpoint_digest = ""
    dimension = 0
    tokenizer = None

    def __init__(self, bm25: BM25Encoder | None = None) -> None:
        self.bm25 = bm25 or BM25Encoder()

    def embed(self, texts: Sequence[str], side: Side) -> Floats:
        """No numbers for each text, float32 `[n, 0]`."""
        return np.zeros((len(texts), 0), np.float32)


def bm25_of(embeds: Embeds) -> BM25Encoder:
    """How an index of these vectors weighs words."""
    return embeds.bm25 if isinstance(embeds, NoVectors) else BM25Encoder()


class LangChainEmbeds:
    """Any `Embeddings` of LangChain.

    Args:
        embeddings: gives the vectors; they need not be normalised.
        name: what an index records of it: another one wherever it embeds otherwise.
        dimension: length of its vectors; None asks it for one.
        tokenizer: a fast tokenizer of transformers to cut documents by; None keeps them whole.

    >>> embeds = LangChainEmbeds(OpenAIEmbeddings(), name="openai-small")  # doctest: +SKIP
    >>> UnifiedRetriever(embeds, chunking="whole")                         # doctest: +SKIP
    """

    def __init__(
        self, embeddings: Any, *, name: str, dimension: int | None = None, tokenizer: Any = None
    ) -> None:
        self._embeddings, self.tokenizer = embeddings, tokenizer
        self.checkpoint, self.checkpoint_digest = name, _digest(name)
        self.dimension = len(embeddings.embed_query("?")) if dimension is None else dimension

    def embed(self, texts: Sequence[str], side: Side) -> Floats:
        """See `Embeds.embed`."""
        if side == "query":
            vectors = [self._embeddings.embed_query(text) for text in texts]
        else:
            vectors = self._embeddings.embed_documents(list(texts))
        return _unit(vectors, self.dimension)


class SentenceEmbeds:
    """Any `SentenceTransformer`, with the prompts that its files name for either side.

    Args:
        model: gives the vectors.
        name: what an index records of it: another one wherever it embeds otherwise.

    >>> embeds = SentenceEmbeds(SentenceTransformer("./e5"), name="e5")    # doctest: +SKIP
    >>> UnifiedRetriever(embeds, index="handbook.index")                   # doctest: +SKIP
    """

    def __init__(self, model: Any, *, name: str) -> None:
        self._model, self.tokenizer = model, model.tokenizer
        self.checkpoint, self.checkpoint_digest = name, _digest(name)
        self.dimension = int(model.get_embedding_dimension())

    def embed(self, texts: Sequence[str], side: Side) -> Floats:
        """See `Embeds.embed`."""
        encode = self._model.encode_query if side == "query" else self._model.encode_document
        return _unit(encode(list(texts), show_progress_bar=False), self.dimension)


class CrossEncoderRanks:
    """Any `CrossEncoder` of sentence-transformers that gives one logit; its sigmoid is the score.

    Args:
        model: scores pairs.

    >>> UnifiedRetriever(reranker=CrossEncoderRanks(CrossEncoder("./ranker")))  # doctest: +SKIP
    """

    probabilistic = True

    def __init__(self, model: Any) -> None:
        self._model = model

    def rank(self, query: str, documents: Sequence[str]) -> Floats:
        """See `Ranks.rank`."""
        from torch import nn

        scores: Floats = self._model.predict(
            [(query, document) for document in documents],
            activation_fn=nn.Sigmoid(),
            show_progress_bar=False,
        )
        return scores.astype(np.float32, copy=False)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _unit(vectors: Any, dimension: int) -> Floats:
    """Vectors as float32 `[n, dimension]` of length 1; one of zeros stays."""
    whole: Floats = np.asarray(vectors, np.float32).reshape(-1, dimension)
    lengths = np.linalg.norm(whole, axis=1, keepdims=True)
    unit: Floats = whole / np.maximum(lengths, 1e-12)
    return unit
