"""What several test modules need."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from langchain_core.documents import Document

from unimoer_rag.retrieval import types

# Precise, so that values can be compared whatever shares a batch, on every machine.
EXACT = {"device": "cpu", "dtype": "float32"}

ASK = "Represent this question for retrieving its answer: "
QUERY = "how long do refunds take?"

HANDBOOK = [
    types.Document(
        "Refunds take five working days. The money goes back to the card that paid.",
        "refunds.md",
        "Refunds",
        {"year": 2023, "tag": ["money", "shop"]},
    ),
    types.Document("The library opens at nine and shuts at six.", "library.md", "", {"year": 2019}),
    types.Document("A kayak for two weighs thirty kilograms.", "kayak.md", "", {"year": 2024}),
    types.Document("Paris is the capital of France.", "paris.md"),
]


def assert_same(found: Sequence[Document], expected: Sequence[Document]) -> None:
    """The same documents in the same order; scores may differ by rounding."""
    assert [plain(document) for document in found] == [plain(document) for document in expected]
    for document, other in zip(found, expected, strict=True):
        assert scores(document) == pytest.approx(scores(other), abs=1e-4)


def plain(document: Document) -> Document:
    kept = {key: v for key, v in document.metadata.items() if not key.endswith("_score")}
    return document.model_copy(update={"metadata": kept})


def scores(document: Document) -> dict[str, float]:
    return {key: v for key, v in document.metadata.items() if key.endswith("_score")}


def sources(documents: Sequence[Document]) -> list[str]:
    return [document.metadata["source"] for document in documents]
