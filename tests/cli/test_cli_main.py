"""The command itself: help, version, what it imports, and whole processes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from cli_helpers import Command, start

HEAVY = ("torch", "transformers", "qdrant_edge", "qdrant_client", "ir_measures", "numpy")


@pytest.mark.slow
def test_help_lists_the_commands(run: Command) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in ("index", "search", "ask", "eval", "train", "experts", "study", "info"):
        assert name in result.stdout


@pytest.mark.parametrize(
    "command",
    ["index", "search", "ask", "eval", "info"]
    + [f"train {name}" for name in ("run", "resume", "ls", "show", "validate")]
    + [f"experts {name}" for name in ("list", "add")]
    + ["study ls", "study run"],
)
def test_every_command_has_help(run: Command, command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize("group", ["train", "experts", "study"])
def test_a_group_tells_its_commands(run: Command, group: str) -> None:
    result = run(group, "--help")
    assert result.exit_code == 0
    assert "Commands" in result.stdout


def test_version(run: Command) -> None:
    from unimoer_rag import __version__

    assert run("--version").stdout.strip() == __version__


@pytest.mark.slow
def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from unimoer_rag.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_the_package_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unimoer_rag", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == metadata.version("unimoer-rag")


def test_an_unknown_command_is_a_wrong_option(run: Command) -> None:
    assert run("fly").exit_code == 2


def test_an_error_of_the_system_is_one_line(
    run: Command, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "index/segment")

    monkeypatch.setattr("unimoer_rag.cli.index.open_retriever", full)
    result = run("index", docs, "--index", "index")
    assert result.exit_code == 1
    assert result.stderr.replace("\n", " ") == "error: No space left on device: index/segment "


def test_an_interrupted_command_says_so(
    run: Command, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unimoer_rag.cli.index.open_retriever", stop)
    result = run("index", docs, "--index", "index")
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


@pytest.mark.slow
def test_processes_end_as_they_should(docs: Path, tmp_path: Path) -> None:
    minilm = ("--checkpoint", "minilm")
    process = start("index", docs, "missing", "--index", "kept", *minilm, folder=tmp_path)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (1, "")
    assert stderr.startswith("error: cannot read ")
    assert "Traceback" not in stderr

    process = start("ask", "refunds?", "--docs", docs, "--json", folder=tmp_path)
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["question"] == "refunds?"
    assert stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--help",), ("search", "--help"), ("train", "ls", "--json")])
def test_a_reader_that_leaves_ends_the_run_quietly(words: tuple[str, ...], tmp_path: Path) -> None:
    process = start(*words, folder=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=120) == 141


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
@pytest.mark.parametrize("words", [("--help",), ("train", "ls", "--json")])
def test_output_that_cannot_be_written_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "unimoer_rag.cli.main", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("No space left on device")


def test_names_that_were_typed_are_shown_as_text(run: Command) -> None:
    result = run("search", "a", "b\x1b[2J")
    assert result.exit_code == 2
    assert "\x1b[2J" not in result.stderr
