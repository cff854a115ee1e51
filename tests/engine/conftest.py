from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from model.tiny_models import make_model

from unimoer_rag.engine import Engine
from unimoer_rag.model.unimoer import UniMoER

Script = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def engine(minilm: UniMoER) -> Iterator[Engine]:
    """An engine of this test's own."""
    with Engine(minilm) as engine:
        yield engine


@pytest.fixture(scope="session")
def tiny(tiny_bert: Path) -> UniMoER:
    """A tiny model, for many rows whose number and lengths count; tests leave it as it is."""
    return make_model(tiny_bert)


@pytest.fixture
def script(minilm_path: Path) -> Script:
    """Runs a program in a process of its own."""

    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )

    return run
