"""`bench NAME --quick`: smaller numbers where none were given, for every benchmark."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_helpers import Command
from typer.testing import CliRunner

from unimoer_rag.lab.bench.bench import Bench, PassagesOption, RoundsOption, command
from unimoer_rag.lab.commands.bench import NAMES, open_bench
from unimoer_rag.lab.tables import Table


def test_every_size_is_an_option_of_its_command() -> None:
    benches = {name: open_bench(name) for name in NAMES}
    # Its figures are bytes, which no smaller number of calls gives sooner.
    assert {name for name, bench in benches.items() if not bench.quick} == {"memory"}
    for name, bench in benches.items():
        options = inspect.signature(command(bench)).parameters
        assert bench.quick.keys() <= options.keys(), name
        assert all(options[option].default != size for option, size in bench.quick.items())


def test_what_was_given_stays() -> None:
    seen: dict[str, int] = {}

    def measure(passages: PassagesOption = 1000, rounds: RoundsOption = 5) -> dict[str, Any]:
        seen.update(passages=passages, rounds=rounds)
        return {}

    def table(found: object) -> Table:
        return Table("Nothing", ("",), [])

    app = typer.Typer()
    app.command()(command(Bench(measure, table, quick={"passages": 24})))
    for words, expected in (
        ([], (1000, 5)),
        (["--quick"], (24, 5)),
        (["--quick", "--passages", "1000"], (1000, 5)),
        (["--quick", "--rounds", "7"], (24, 7)),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert tuple(seen.values()) == expected


def test_a_file_is_a_command() -> None:
    """Its docstring is the help; what is no option stays inside; a fault is an exit code."""
    told: list[object] = []

    def measure(passages: PassagesOption = 3, words: int = 9, *, on_run: Any) -> dict[str, Any]:
        """Count passages.

        Returns:
            How many.
        """
        on_run("counting")
        told.append((passages, words))
        return {"n": passages}

    def table(found: Any) -> Table:
        return Table("Counted", ("", "n"), [("passages", str(found["n"]))], ["Each once."])

    bench = Bench(measure, table, failed=lambda found: found["n"] > 5)
    callback = command(bench)
    assert callback.__doc__ == "Count passages."
    assert list(inspect.signature(callback).parameters) == ["passages", "json", "context"]
    app = typer.Typer()
    app.command()(callback)
    shown = CliRunner().invoke(app, ["--passages", "4"])
    assert (shown.exit_code, told) == (0, [(4, 9)])
    assert "counting ..." in shown.stderr
    assert shown.stdout.splitlines()[-2:] == ["passages  4", "Each once."]
    assert CliRunner().invoke(app, ["--passages", "6"]).exit_code == 1
    written = CliRunner().invoke(app, ["--passages", "2", "--json", "-"])
    assert json.loads(written.stdout) == {"n": 2}


@pytest.mark.slow
def test_a_quick_run(run: Command, tmp_path: Path) -> None:
    out = tmp_path / "prefix.json"
    result = run("bench", "prefix", "--quick", "--tokens", 32, "--json", out)
    assert result.exit_code == 0, result.output
    assert "quick: documents 8, layers 2, width 128" in result.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["documents"], found["tokens"]) == (8, 32)


def test_where_the_figures_go_is_checked_before_they_are_measured(
    run: Command, tmp_path: Path
) -> None:
    result = run("bench", "growth", "--quick", "--json", tmp_path)
    assert result.exit_code == 1
    assert "a folder: name a file" in result.stderr
    assert "quick" not in result.stderr
