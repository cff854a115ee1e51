"""The handbook as an index, for the Haystack components."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from haystack_helpers import EXACT

from unimoer_rag import Document, UnifiedRetriever


@pytest.fixture(scope="session")
def folder(few_documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an index of some of the handbook's documents."""
    folder = tmp_path_factory.mktemp("haystack") / "handbook.index"
    with UnifiedRetriever(index=folder, **EXACT) as retriever:
        documents = []
        for name in ("returns-and-refunds", "shipping", "store-hours"):
            file = few_documents / f"{name}.md"
            title, _, text = file.read_text(encoding="utf-8").removeprefix("# ").partition("\n\n")
            documents.append(Document(text, file.name, title, {"words": len(text.split())}))
        retriever.add(documents)
    return folder


@pytest.fixture(scope="session")
def handbook(folder: Path) -> Iterator[UnifiedRetriever]:
    """A retriever of that index; tests leave it as it is."""
    with UnifiedRetriever(index=folder, k=3, rerank=10, read_only=True, **EXACT) as retriever:
        yield retriever
