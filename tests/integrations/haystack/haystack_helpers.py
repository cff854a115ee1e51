"""What the tests of the Haystack components share beside fixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
from haystack import Document

__all__ = ["EXACT", "QUERY", "close", "passages"]

# One number type on every machine, so that results can be compared closely.
EXACT: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
QUERY = "How long do refunds take?"


def close(actual: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), atol=1e-5)


def passages() -> list[Document]:
    """Four documents, of which the third answers `QUERY`."""
    return [
        Document(content="We open at nine.", meta={"title": "Hours", "year": 2021}),
        Document(content="Kayaks are for two.", meta={"title": "Kayaks", "year": 2022}),
        Document(content="Refunds take 14 days.", meta={"title": "Returns", "year": 2023}),
        Document(content="Shipping is free.", meta={"title": "Shipping", "year": 2024}),
    ]
