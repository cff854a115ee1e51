"""BM25 as sparse vectors: the vector database holds the postings and applies the IDF.

A document's weight for a term and a query's weight for it multiply to BM25 (Robertson and
Zaragoza 2009, eq. 3.15) once the database scales by IDF (`Modifier.IDF`, the same formula,
ln(1 + (N - n + 0.5) / (n + 0.5)), in all of Qdrant's homes).
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from dataclasses import dataclass

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.words import TOKENIZER, check_language, tokenize

__all__ = ["AVERAGE_LENGTH", "BM25Encoder", "SparseVector", "tokenize"]

# Terms in a typical passage: 120 words, at the 0.73 terms a word (stop words removed) measured on
# the Wikipedia passages of NQ. Fixed, because a passage's vector must not depend on what else is
# in the index; BM25 moves little with it (b scales only the ratio of lengths).
AVERAGE_LENGTH = 88.0


@functools.lru_cache(maxsize=1 << 17)
def _index(token: str) -> int:
    """A term's dimension: 32 bits of BLAKE2b, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=4).digest(), "big")


@dataclass(frozen=True, slots=True)
class SparseVector:
    """The dimensions of a vector that are not zero.

    Attributes:
        indices: distinct unsigned 32-bit dimensions.
        values: one finite float for each index.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BM25Encoder:
    """Turns text into the sparse vectors whose dot product, scaled by IDF, is BM25.

    Attributes:
        k1: how slowly repetitions of a term saturate.
        b: how much a long passage is discounted.
        average_length: terms in a passage of average length.
        language: of the passages and queries; one of `words.LANGUAGES`.
        tokenizer: the release of the rules that part a text into terms.

    Raises:
        InputError: there is no such language, or no such tokenizer.

    >>> BM25Encoder().query("refunds, refunds!").values
    (2.0,)
    """

    k1: float = 1.2
    b: float = 0.75
    average_length: float = AVERAGE_LENGTH
    language: str = "english"
    tokenizer: int = TOKENIZER

    def __post_init__(self) -> None:
        check_language(self.language)
        if self.tokenizer not in range(1, TOKENIZER + 1):
            raise InputError(f"unknown tokenizer {self.tokenizer!r}: expected 1 to {TOKENIZER}")

    def document(self, text: str) -> SparseVector:
        """Weigh the terms of a passage: tf (k1 + 1) / (tf + k1 (1 - b + b length / average))."""
        counts = Counter(self._terms(text))
        length = counts.total()
        norm = self.k1 * (1 - self.b + self.b * length / self.average_length)
        return _vector({term: n * (self.k1 + 1) / (n + norm) for term, n in counts.items()})

    def query(self, text: str) -> SparseVector:
        """Count the terms of a question; empty when it holds none."""
        return _vector(dict(Counter(self._terms(text))))

    def _terms(self, text: str) -> list[str]:
        return tokenize(text, self.language, tokenizer=self.tokenizer)


def _vector(weights: dict[str, float] | dict[str, int]) -> SparseVector:
    by_index: dict[int, float] = {}
    for term, weight in weights.items():
        index = _index(term)
        by_index[index] = by_index.get(index, 0.0) + weight  # two terms in one dimension add up
    indices = tuple(sorted(by_index))
    return SparseVector(indices, tuple(float(by_index[i]) for i in indices))
