"""Texts to measure speed with: words of a tokenizer's vocabulary, lengths as passages have them."""

from __future__ import annotations

import re
from random import Random
from typing import Any

__all__ = ["make_passages", "make_queries"]

# Tokens of a passage: log-normal around this median, within these bounds. Wikipedia's passages and
# a firm's documents, cut by paragraphs, look like that.
_MEDIAN, _SPREAD, _BOUNDS = 96, 0.6, (8, 250)
_QUERY_WORDS = (4, 14)


def make_passages(tokenizer: Any, n: int, seed: int = 0) -> list[str]:
    """Passages of mixed length, the same ones for the same tokenizer and seed.

    Args:
        tokenizer: a Hugging Face tokenizer, whose words are used: about one token each.
        n: how many.
        seed: of words and lengths.
    """
    words, choice = _words(tokenizer), Random(f"passages/{seed}")
    return [_text(words, choice, _length(choice)) for _ in range(n)]


def make_queries(tokenizer: Any, n: int, seed: int = 0) -> list[str]:
    """Queries of 4 to 14 words, made in the same way."""
    words, choice = _words(tokenizer), Random(f"queries/{seed}")
    return [_text(words, choice, choice.randint(*_QUERY_WORDS)) for _ in range(n)]


def _words(tokenizer: Any) -> list[str]:
    # Word-start marks of the byte-level and SentencePiece alphabets go; continuations stay out.
    stripped = (token.lstrip("\u0120\u2581") for token in tokenizer.get_vocab())
    return sorted({token for token in stripped if re.fullmatch("[a-z]{3,12}", token)})


def _length(choice: Random) -> int:
    low, high = _BOUNDS
    return min(max(round(_MEDIAN * choice.lognormvariate(0, _SPREAD)), low), high)


def _text(words: list[str], choice: Random, length: int) -> str:
    return " ".join(choice.choices(words, k=length)) + "."
