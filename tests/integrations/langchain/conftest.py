from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from langchain_helpers import ASK, EXACT, HANDBOOK

from unimoer_rag.model.tasks import DEFAULT_TASKS
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever

Script = Callable[..., str]


@pytest.fixture(scope="session")
def checkpoint(minilm_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint with an instruction of its own for queries, and embeddings that can be cut."""
    tasks = [
        replace(task, dimensions=(64, 128)) if task.name == "embed" else task
        for task in DEFAULT_TASKS
    ]
    model = UniMoER.from_backbone("minilm", tasks=tasks, query_instruction=ASK, **EXACT)
    return str(model.save_pretrained(tmp_path_factory.mktemp("checkpoints") / "asking"))


@pytest.fixture(scope="session")
def filled(live: UniMoER) -> Iterator[UnifiedRetriever]:
    """An index of HANDBOOK in memory; tests leave it as it is."""
    with UnifiedRetriever("unimoer-minilm", **EXACT) as retriever:
        retriever.add(HANDBOOK)
        yield retriever


@pytest.fixture
def script() -> Script:
    """Runs a program in a process of its own and gives what it prints."""

    def run(code: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], input=stdin, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run
