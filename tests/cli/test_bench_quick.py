"""`bench NAME --quick`: smaller numbers where none were given, for every benchmark."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import typer
from cli_helpers import Command
from typer.testing import CliRunner

from unimoer_rag.lab.commands.bench.group import _COMMANDS
from unimoer_rag.lab.commands.bench.quick import QUICK, with_quick


def test_every_size_is_an_option_of_its_command() -> None:
    commands = {command.__name__: command for command in _COMMANDS}
    # Its figures are bytes, which no smaller number of calls gives sooner.
    assert commands.keys() - QUICK.keys() == {"memory"}
    for name, sizes in QUICK.items():
        options = inspect.signature(commands[name]).parameters
        assert sizes.keys() <= options.keys(), name
        assert all(options[option].default != size for option, size in sizes.items())


def test_what_was_given_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, int] = {}

    def padding(passages: int = 1000, rounds: int = 5) -> None:
        seen.update(passages=passages, rounds=rounds)

    app = typer.Typer()
    app.command()(with_quick(padding))
    for words, expected in (
        ([], (1000, 5)),
        (["--quick"], (24, 5)),
        (["--quick", "--passages", "1000"], (1000, 5)),
        (["--quick", "--rounds", "7"], (24, 7)),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert tuple(seen.values()) == expected


@pytest.mark.slow
def test_a_quick_run(run: Command, tmp_path: Path) -> None:
    out = tmp_path / "growth.json"
    result = run("bench", "growth", "--quick", "--queries", 6, "--json", out)
    assert result.exit_code == 0, result.output
    assert "quick: sizes [500, 1000, 2000], dimension 64" in result.stderr
    assert json.loads(out.read_text(encoding="utf-8"))["sizes"] == [500, 1000, 2000]


def test_where_the_figures_go_is_checked_before_they_are_measured(
    run: Command, tmp_path: Path
) -> None:
    result = run("bench", "growth", "--quick", "--json", tmp_path)
    assert result.exit_code == 1
    assert "a folder: name a file" in result.stderr
    assert "quick" not in result.stderr
