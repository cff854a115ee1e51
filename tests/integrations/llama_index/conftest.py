"""The adapters on the real model, and the handbook as an index."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.postprocessor.unimoer_rerank import UniMoERRerank
from llama_index_helpers import EXACT, HANDBOOK, Events, Script

import unimoer_rag
from unimoer_rag import UnifiedRetriever
from unimoer_rag.retrieval.types import Document


@pytest.fixture(scope="session")
def embedding(minilm_path: Path) -> UniMoEREmbedding:
    return UniMoEREmbedding(**EXACT)


@pytest.fixture(scope="session")
def rerank(minilm_path: Path) -> UniMoERRerank:
    return UniMoERRerank(top_n=3, **EXACT)


@pytest.fixture
def own_checkpoint(minilm_path: Path, tmp_path: Path) -> Path:
    """A copy of the shipped checkpoint, to change with `instruct`."""
    shipped = Path(unimoer_rag.__file__).parent / "checkpoints" / "unimoer-minilm"
    return Path(shutil.copytree(shipped, tmp_path / "checkpoint"))


@pytest.fixture(scope="session")
def handbook(minilm_path: Path) -> Iterator[UnifiedRetriever]:
    """The handbook, indexed in memory; tests leave it as it is."""
    with UnifiedRetriever(rerank=10, **EXACT) as retriever:
        documents = []
        for file in sorted(HANDBOOK.glob("*.md")):
            title, _, text = file.read_text(encoding="utf-8").removeprefix("# ").partition("\n\n")
            metadata = {"words": len(text.split()), "letters": [title[0], title[-1]]}
            documents.append(Document(text, file.name, title, metadata))
        retriever.add(documents)
        yield retriever


@pytest.fixture
def events() -> Iterator[Events]:
    """What the framework's dispatcher tells meanwhile."""
    handler, root = Events(), get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


@pytest.fixture
def debug() -> LlamaDebugHandler:
    """Keeps the events that callback managers tell it."""
    return LlamaDebugHandler(print_trace_on_end=False)


@pytest.fixture
def manager(debug: LlamaDebugHandler) -> CallbackManager:
    return CallbackManager([debug])


@pytest.fixture
def script(minilm_path: Path) -> Script:
    """Runs a program in a process of its own."""

    def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
