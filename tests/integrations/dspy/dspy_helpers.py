"""What the tests of the DSPy adapter share."""

from __future__ import annotations

from typing import Any

__all__ = ["CORPUS", "EXACT", "QUERY"]

# One number type on every machine, so that results can be compared closely.
EXACT: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
QUERY = "How long do refunds take?"
CORPUS = [
    "We open at nine.",
    "Kayaks are for two.",
    "Refunds take 14 days.",
    "Shipping is free.",
]
