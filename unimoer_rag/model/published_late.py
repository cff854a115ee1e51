"""What a late-interaction model's folder says of itself, beside what goes before its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Expansion", "LateInteraction", "Side"]

Side = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class Expansion:
    """Queries are filled up with tokens that ask too (query expansion of ColBERT, 2004.12832).

    Attributes:
        length: tokens up to which a query is filled, special tokens included.
        fixed: a longer query loses its end; it stays whole otherwise.
        attended: the query's own tokens see what they are filled up with.
        token: what they are filled up with; None for the tokenizer's mask token, or the end-of-text
            token where it has none.
    """

    length: int
    fixed: bool = True
    attended: bool = False
    token: str | None = None


@dataclass(frozen=True, slots=True)
class LateInteraction:
    """How a published model compares texts token by token.

    Attributes:
        query_tokens: longest query, special tokens included; None for that of every row.
        document_tokens: longest document, likewise.
        markers: a prompt begins with a token of the vocabulary, such as `[unused0]`, that the
            tokenizer would cut into pieces as it is.
        expansion: of queries; None where they stay as they are.
        skipped: tokens that are encoded and not compared, such as punctuation.
        skipped_in: the sides on which they are skipped.
        mean: the score is the mean over a query's tokens, in place of their sum.
    """

    query_tokens: int | None = None
    document_tokens: int | None = None
    markers: bool = False
    expansion: Expansion | None = None
    skipped: tuple[str, ...] = ()
    skipped_in: frozenset[Side] = frozenset({"document"})
    mean: bool = False
