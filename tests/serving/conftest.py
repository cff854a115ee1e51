"""One server over a small index, and clients to ask it with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.serving import ServeSettings, serving


@pytest.fixture(scope="session", autouse=True)
def _no_settings() -> Iterator[None]:
    """No settings of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ServeSettings.model_fields:
            patch.delenv(f"UNIMOER_SERVE_{name.upper()}", raising=False)
        yield


@pytest.fixture(scope="session")
def pipeline(few_documents: Path) -> Iterator[RagPipeline]:
    """The shipped checkpoint, which reads, over a few documents in memory."""
    with UnifiedRetriever("unimoer-minilm", device="cpu", dtype="float32") as retriever:
        retriever.add_path(few_documents)
        yield RagPipeline(retriever)


@pytest.fixture(scope="session")
def url(pipeline: RagPipeline) -> Iterator[str]:
    """The address of a server of it, without keys."""
    with serving(pipeline) as address:
        yield address


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, timeout=300) as client:
        yield client
