"""Quantized vectors: few bits find the candidates, the full vectors order them.

| quantization | bytes a number | how |
|---|---|---|
| "int8" | 1 | Qdrant's scalar quantization |
| "binary" | 1/8 | the sign of each number; the query keeps 8 bits of each |

The codes stay in memory and the full vectors on disk, memory-mapped. A search takes `oversampling`
times as many passages as it is asked for by their codes, and gives the best of them by their full
vectors: scores are the exact cosines.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from unimoer_rag.errors import IndexMismatchError, InputError

__all__ = [
    "OVERSAMPLING",
    "Quantization",
    "agree_quantization",
    "check_oversampling",
    "check_quantization",
]

Quantization = Literal["int8", "binary"]

OVERSAMPLING: dict[Quantization, float] = {"int8": 2.0, "binary": 8.0}
"""Of searches that do not say theirs."""


def check_quantization(value: str | None) -> Quantization | None:
    """Refuse a quantization that there is not; None is none.

    Raises:
        InputError: names those that there are.
    """
    for known in get_args(Quantization):
        if value == known:
            return known  # type: ignore[no-any-return]
    if value is None:
        return None
    raise InputError(
        f"unknown quantization {value!r}: expected one of {', '.join(get_args(Quantization))}"
    )


def agree_quantization(kept: Quantization | None, wanted: str | None, *, where: str) -> None:
    """Refuse to open an index with another quantization than it was made with.

    Args:
        kept: the index's.
        wanted: what is asked for; None takes what the index has.
        where: the index, for messages.

    Raises:
        IndexMismatchError: they differ.
    """
    if wanted is not None and wanted != kept:
        raise IndexMismatchError(
            f"{where} was made with the quantization {kept or 'none'}, not {wanted}: leave "
            "quantization out to use the index's, or index the documents again into a new index"
        )


def check_oversampling(value: float | None) -> float | None:
    """Refuse an oversampling that no search can have; None is that of the quantization.

    Raises:
        InputError: it is no number of at least 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < math.inf:
        raise InputError(f"oversampling is {value!r}: expected a number of at least 1")
    return float(value)
