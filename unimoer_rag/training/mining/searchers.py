"""What finds hard negatives: a model's embeddings, words, or any system that evaluation knows."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.evaluation import System, corpus_in_index
from unimoer_rag.model import UniMoER, parameters_by_name
from unimoer_rag.retrieval import BM25Encoder, Document, Mode

__all__ = [
    "BM25Searcher",
    "Floats",
    "ModelSearcher",
    "OnDone",
    "Searcher",
    "SystemSearcher",
    "TopPassages",
    "weights_digest",
]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
OnDone = Callable[[int, int], None]
"""Called with passages done and their number."""

# Passages embedded, and queries compared with them, at a time: a matrix of 8 MB.
_PASSAGES, _QUERIES = 512, 4096


class TopPassages(NamedTuple):
    """The best passages for each query, best first.

    Attributes:
        passages: positions, int64 `[queries, k]`; -1 where fewer were found.
        scores: of these, float32 `[queries, k]`; -inf there.
        positives: scores of the queries' positives, float32 `[queries]`; -inf where a searcher
            does not tell the score of what is not among the best.
    """

    passages: Ints
    scores: Floats
    positives: Floats


class Searcher(Protocol):
    """Finds passages for queries."""

    @property
    def identity(self) -> str:
        """All that its results depend on besides the texts."""

    def search(
        self,
        queries: Sequence[str],
        passages: Sequence[str],
        *,
        positives: Sequence[int],
        k: int,
        progress: OnDone = ...,
    ) -> TopPassages:
        """The `k` best of the passages for each query.

        Args:
            queries: what is asked.
            passages: read in order, a few at a time: they may be on disk.
            positives: position of the passage that answers each query.
            k: how many to find; all where there are fewer.
            progress: called with passages done and their number.
        """


def _silent(done: int, total: int) -> None:
    """Progress that nobody asked for."""


_Block = tuple[slice, int, Floats]
"""Scores of some queries for the passages from a position on."""


class _ExactSearcher(ABC):
    """Scores every passage for every query, and holds a block of these scores at a time."""

    _found_above: ClassVar[float] = -math.inf
    """What scores no more than this is not found."""

    @abstractmethod
    def _scores(
        self, queries: Sequence[str], passages: Sequence[str], progress: OnDone
    ) -> Iterator[_Block]:
        """All scores, block by block: the queries, the first passage, `[queries, passages]`."""

    def search(
        self,
        queries: Sequence[str],
        passages: Sequence[str],
        *,
        positives: Sequence[int],
        k: int,
        progress: OnDone = _silent,
    ) -> TopPassages:
        """See `Searcher.search`."""
        wanted = np.asarray(positives, np.int64)
        best = _Best(len(queries), min(k, len(passages)))
        positive = np.full(len(queries), -np.inf, np.float32)
        for rows, start, scores in self._scores(queries, passages, progress):
            best.add(rows, np.where(scores > self._found_above, scores, -np.inf), start)
            places = wanted[rows] - start
            inside = np.flatnonzero((places >= 0) & (places < scores.shape[1]))
            positive[rows.start + inside] = scores[inside, places[inside]]
        return best.found(positive)


class ModelSearcher(_ExactSearcher):
    """Exact search by the embeddings of a model, as it is when it searches; scores are cosines.

    Memory holds the queries' vectors and a block of passages, never all passages.

    Args:
        model: its EMBED task searches; untrained experts are silent, so it is the frozen backbone.
        documents: embeds passages in its place, where that is known to give the same.
    """

    def __init__(
        self, model: UniMoER, documents: Callable[[Sequence[str]], Floats] | None = None
    ) -> None:
        self._model, self._documents = model, documents or model.embed

    @property
    def identity(self) -> str:
        """The weights of this moment."""
        return f"model {weights_digest(self._model, 'embed')}"

    def _scores(
        self, queries: Sequence[str], passages: Sequence[str], progress: OnDone
    ) -> Iterator[_Block]:
        """Cosines of a few queries with a few passages at a time."""
        asked = np.concatenate(
            [self._model.embed(block, "query") for _, block in _blocks(queries, _PASSAGES)]
        )
        for start, block in _blocks(passages, _PASSAGES):
            progress(start, len(passages))
            vectors = self._documents(block)
            for at in range(0, len(queries), _QUERIES):
                rows = slice(at, at + _QUERIES)
                yield rows, start, asked[rows] @ vectors.T
        progress(len(passages), len(passages))


class BM25Searcher(_ExactSearcher):
    """Exact search by words: BM25 as our indices have it, with the passages' own statistics.

    Passages that share no word with a query are not found.

    Args:
        encoder: weighs terms; by default that of our indices.
    """

    _found_above: ClassVar[float] = 0.0

    def __init__(self, encoder: BM25Encoder | None = None) -> None:
        self._encoder = encoder or BM25Encoder()

    @property
    def identity(self) -> str:
        """The encoder's settings."""
        return f"bm25 {self._encoder!r}"

    def _scores(
        self, queries: Sequence[str], passages: Sequence[str], progress: OnDone
    ) -> Iterator[_Block]:
        """A query with all passages at a time."""
        terms, documents, weights = self._postings(passages, progress)
        for at, query in enumerate(queries):
            scores = np.zeros(len(passages), np.float32)
            encoded = self._encoder.query(query)
            for term, count in zip(encoded.indices, encoded.values, strict=True):
                left, right = np.searchsorted(terms, term), np.searchsorted(terms, term, "right")
                n = right - left
                idf = np.log(1 + (len(passages) - n + 0.5) / (n + 0.5))
                scores[documents[left:right]] += weights[left:right] * np.float32(count * idf)
            yield slice(at, at + 1), 0, scores[None]

    def _postings(
        self, passages: Sequence[str], progress: OnDone
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], Floats]:
        """Term, passage and weight of every posting, by term."""
        terms: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        weights: list[Floats] = [np.zeros(0, np.float32)]
        counts = []
        for start, block in _blocks(passages, _PASSAGES):
            progress(start, len(passages))
            for text in block:
                vector = self._encoder.document(text)
                terms.append(np.asarray(vector.indices, np.int64))
                weights.append(np.asarray(vector.values, np.float32))
                counts.append(len(vector.indices))
        progress(len(passages), len(passages))
        every = np.concatenate(terms)
        order = np.argsort(every, kind="stable")
        documents = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        return every[order], documents[order], np.concatenate(weights)[order]


class SystemSearcher:
    """Search by a system of `unimoer_rag.evaluation.systems`, through an index of its own.

    A positive that is not among the `k` best has no known score, so filters that compare with it
    drop all that was found before it.

    Args:
        system: what searches.
        mode: its first stage.
    """

    def __init__(self, system: System, *, mode: Mode = "dense") -> None:
        self._system, self._mode = system, mode

    @property
    def identity(self) -> str:
        """What the system is made of."""
        facts = json.dumps(self._system.describe(), sort_keys=True, default=str)
        return f"{self._system.name} {self._mode} {facts}"

    def search(
        self,
        queries: Sequence[str],
        passages: Sequence[str],
        *,
        positives: Sequence[int],
        k: int,
        progress: OnDone = _silent,
    ) -> TopPassages:
        """See `Searcher.search`."""
        corpus = {str(at): Document(text, str(at)) for at, text in enumerate(passages)}
        k = min(k, len(passages))
        ids = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        with (
            tempfile.TemporaryDirectory() as folder,
            corpus_in_index(
                self._system,
                corpus,
                index=Path(folder) / "index",
                first_stage=self._mode,
                depth=k,
                on_progress=lambda what, done, total: progress(done, total),
            ) as finder,
        ):
            for start, block in _blocks(queries, _PASSAGES):
                for at, hits in enumerate(finder.search_batch(block, k=k, rerank=0), start):
                    ids[at, : len(hits)] = [int(hit.source) for hit in hits]
                    scores[at, : len(hits)] = [hit.score for hit in hits]
        hit = ids == np.asarray(positives, np.int64)[:, None]
        return TopPassages(ids, scores, np.where(hit, scores, -np.inf).max(axis=1, initial=-np.inf))


class _Best:
    """The best so far of each query, as blocks of passages come in."""

    def __init__(self, n_queries: int, k: int) -> None:
        self._k = k
        self._ids = np.full((n_queries, k), -1, np.int64)
        self._scores = np.full((n_queries, k), -np.inf, np.float32)

    def add(self, rows: slice, scores: Floats, start: int) -> None:
        """Scores of some queries `[n, block]` for the passages from `start` on."""
        ids = np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)
        both = np.concatenate([self._scores[rows], scores], axis=1)
        which = np.concatenate([self._ids[rows], np.where(np.isneginf(scores), -1, ids)], axis=1)
        # Stable, so that equal scores keep the passages' order whatever the blocks.
        top = np.argsort(-both, axis=1, kind="stable")[:, : self._k]
        self._scores[rows] = np.take_along_axis(both, top, axis=1)
        self._ids[rows] = np.take_along_axis(which, top, axis=1)

    def found(self, positives: Floats) -> TopPassages:
        return TopPassages(self._ids, self._scores, positives)


def weights_digest(model: UniMoER, task: str) -> str:
    """SHA-256 of all that a model's outputs for a task depend on, as it is now.

    Experts that change nothing yet (every `lora_B` is 0) do not count, and neither does what
    routes to them: runs that differ in their experts alone share what the backbone finds.
    """
    named = parameters_by_name(model)
    trained = any(p.detach().any() for name, p in named.items() if name.endswith(".lora_B.weight"))
    prefixes = ("experts.", "router.", f"heads.{task}.") if trained else (f"heads.{task}.",)
    used = model.task(task)
    facts = repr(used) if trained else f"{used.head} {used.max_tokens}"
    digest = hashlib.sha256(f"{model.checkpoint_digest} {facts}".encode())
    for name, parameter in sorted(named.items()):
        if name.startswith(prefixes):
            digest.update(name.encode())
            digest.update(parameter.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _blocks(texts: Sequence[str], size: int) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, len(texts), size):
        yield start, [texts[at] for at in range(start, min(start + size, len(texts)))]
