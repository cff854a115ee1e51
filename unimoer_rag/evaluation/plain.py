"""Results as JSON can hold them, whatever the texts and numbers behind them were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from unimoer_rag.retrieval import clean_text

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """A value of dictionaries, lists, texts, finite numbers, true, false and null.

    Numbers and arrays of NumPy become Python's; what is no finite number becomes null, as JSON has
    none such; texts are as `clean_text` leaves them, keys too; sets are sorted; paths are texts;
    dataclasses become dictionaries of their fields.

    Raises:
        TypeError: it holds something else.

    Example:
        >>> plain({"mean": float("nan"), "ranks": (1, 2)})
        {'mean': None, 'ranks': [1, 2]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | PurePath):
        return clean_text(str(value))
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {clean_text(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Set):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"a result holds {type(value).__name__}, which JSON has no word for")
