"""Options in a line each, and groups of them: what Typer makes of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from unimoer_rag.cli.option_groups import option, with_options


@dataclass(frozen=True)
class Size:
    width: int = option("In cells.", default=80, min=1)
    tall: bool = option("As high as it gets.", default=False)


@dataclass(frozen=True)
class Box(Size):
    """A group of a group's options and its own."""

    edge: Annotated[str, typer.Option("--edge", envvar="BOX_EDGE")] = "round"


def typed(*words: str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, output and what the command got."""
    found: dict[str, Any] = {}

    @with_options
    def draw(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help="Whose.")],
        *,
        colour: str = option("Of the line.", "--colour", "-c", default=...),
        box: Box,
        shadow: bool = option("Below it.", default=True),
    ) -> None:
        """Draw a box."""
        found.update(name=name, colour=colour, box=box, shadow=shadow, told=context.info_name)

    app = typer.Typer()
    app.command()(draw)
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output, found


def test_each_option_is_its_own() -> None:
    code, output, found = typed("mine", "-c", "red", "--width", "7", "--tall", "--no-shadow")
    assert code == 0, output
    assert found.pop("told")
    assert found == {"name": "mine", "colour": "red", "box": Box(7, True), "shadow": False}


def test_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOX_EDGE", "sharp")
    _, _, found = typed("mine", "--colour", "red")
    assert found["box"] == Box(80, False, "sharp")
    assert found["shadow"] is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mine",), "Missing option"),
        (("mine", "-c", "red", "--width", "0"), "--width"),
        (("mine", "-c", "red", "--no-tall"), "No such option"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], said: str) -> None:
    code, output, _ = typed(*words)
    assert code == 2
    assert said in output


def test_the_help_names_all_of_them() -> None:
    code, output, _ = typed("--help")
    assert code == 0
    assert "Draw a box." in output
    for shown in ("--colour", "-c", "--width", "In cells.", "--tall", "--edge", "--no-shadow"):
        assert shown in output
    assert "--no-tall" not in output
