"""The examples run as their users run them, and answer."""

from __future__ import annotations

import contextlib
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from openai_server import chat_server

from unimoer_rag import UniMoER

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

# What each prints, and whether it talks to a chat model.
EXPECTED = {
    "ask_many.py": ("answered as expected", False),
    "langchain_chat.py": ("14 days", True),
    "langchain_rag.py": ("answer: 14 days  [handbook/returns-and-refunds.md]", False),
    "llama_index_agent.py": ("14 days", True),
    "llama_index_index.py": ("[returns-and-refunds.md]", False),
    "llama_index_qdrant.py": ("returns-and-refunds.md", False),
    "llama_index_rag.py": ("answer: 14 days  [returns-and-refunds.md]", False),
}


def test_every_example_is_known() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.fixture(scope="module")
def loaded(minilm_path: Path) -> UniMoER:
    """The model that all of them name, held so that it is loaded once."""
    return UniMoER.from_pretrained("unimoer-minilm")


@pytest.fixture(scope="module")
def fewer(few_documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples over a part of the handbook, and the first questions, which it answers."""
    folder = tmp_path_factory.mktemp("examples")
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, folder)
    shutil.copytree(few_documents, folder / "handbook")
    name = "handbook_questions.jsonl"
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / name).write_text("".join(lines[:8]), encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_example_answers(
    name: str,
    fewer: Path,
    loaded: UniMoER,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said, chats = EXPECTED[name]
    with contextlib.ExitStack() as server:
        if chats:
            monkeypatch.setenv("OPENAI_BASE_URL", server.enter_context(chat_server()))
            monkeypatch.setenv("OPENAI_API_KEY", "none")
        runpy.run_path(str(fewer / name), run_name="__main__")
    assert said in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (_, chats) in EXPECTED.items() if chats])
def test_an_example_says_what_to_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(SystemExit, match="set OPENAI_BASE_URL to a chat server"):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.slow
def test_an_example_runs_as_users_run_it(fewer: Path, minilm_path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(fewer / "langchain_rag.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert EXPECTED["langchain_rag.py"][0] in done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_fits_a_screen_and_says_how_it_is_run(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 40
    assert any(line.endswith(f"python examples/{path.name}") for line in lines[:5])
