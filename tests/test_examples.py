"""The examples run as their users run them, and answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from openai_server import chat_server

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

# What each prints, and whether it talks to a chat model.
EXPECTED = {
    "ask_many.py": ("answered as expected", False),
    "langchain_chat.py": ("14 days", True),
    "langchain_rag.py": ("answer: 14 days  [handbook/returns-and-refunds.md]", False),
    "llama_index_agent.py": ("14 days", True),
    "llama_index_qdrant.py": ("returns-and-refunds.md", False),
    "llama_index_rag.py": ("answer: 14 days  [returns-and-refunds.md]", False),
}


def test_every_example_is_known() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_example_runs(name: str, minilm_path: Path) -> None:
    said, chats = EXPECTED[name]
    if not chats:
        assert said in _run(name, {})
        return
    with chat_server() as url:
        assert said in _run(name, {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"})


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_fits_a_screen_and_says_how_it_is_run(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 40
    assert any(line.endswith(f"python examples/{path.name}") for line in lines[:5])


def _run(name: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
