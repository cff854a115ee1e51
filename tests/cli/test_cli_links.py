"""Sources open their files on a terminal that shows links, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import Command
from rich.text import Text

from unimoer_rag.cli import output
from unimoer_rag.cli.answers import print_answer
from unimoer_rag.cli.terminal import Terminal
from unimoer_rag.generation.types import Citation
from unimoer_rag.pipelines.answer import Answer
from unimoer_rag.retrieval import Hit, Passage, Places
from unimoer_rag.retrieval.roots import Root

LINK = re.compile(r"\x1b\]8;id=\d+;(file:[^\x1b]*)\x1b\\(.*?)\x1b\]8;;\x1b\\", re.DOTALL)
TERMINAL = {"TERM": "xterm-256color", "COLUMNS": "300"}
AWAY = ("NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "FORCE_COLOR", "TTY_COMPATIBLE")

Shows = Callable[..., Terminal]


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch) -> Shows:
    """Turns the console of the commands into that of a terminal, or of none, with a variable."""

    def shown(name: str = "", value: str = "1", *, is_terminal: bool = True) -> Terminal:
        for other in AWAY:
            monkeypatch.delenv(other, raising=False)
        for key, set_to in {**TERMINAL, **({name: value} if name else {})}.items():
            monkeypatch.setenv(key, set_to)
        monkeypatch.setattr(Terminal, "is_terminal", property(lambda console: is_terminal))
        console = Terminal()
        monkeypatch.setattr(output, "console", console)
        return console

    return shown


def links(text: str) -> list[tuple[str, str]]:
    """Addresses, and the text that each opens, without its styles."""
    found = LINK.findall(text)
    return [(address, re.sub(r"\x1b\[[\d;]*m", "", shown)) for address, shown in found]


@pytest.mark.slow
def test_results_open_their_files(run: Command, indexed: Path, docs: Path, shows: Any) -> None:
    shows()
    words = ("refunds", "--index", indexed, "--checkpoint", "minilm")
    (address, shown), *_ = links(run("search", *words, "-k", 1).stdout)
    assert address == (docs / "refunds.md").as_uri()
    assert shown.startswith("docs/refunds.md:0-")
    asked = links(run("ask", *words).stdout)
    assert (docs / "refunds.md").as_uri() in [address for address, _ in asked]
    for command in (("search", *words, "--json"), ("ask", *words, "--json")):
        assert "\x1b" not in run(*command).stdout


@pytest.mark.slow
def test_files_that_are_gone_open_nothing(
    run: Command, docs: Path, tmp_path: Path, shows: Any
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    (folder / "a.md").write_text("A kayak for two.", encoding="utf-8")
    words = ("--index", tmp_path / "index", "--checkpoint", "minilm")
    assert run("index", folder, *words).exit_code == 0
    (folder / "a.md").unlink()
    shows()
    said = run("search", "kayak", *words).stdout
    assert "gone/a.md" in said
    assert "\x1b]" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NO_COLOR", "1"),
        ("TERM", "dumb"),
        ("TERM", "linux"),
        ("SSH_CONNECTION", "a b"),
        ("SSH_TTY", "x"),
    ],
)
def test_where_links_are_not_wanted_there_are_none(
    capsys: pytest.CaptureFixture[str], shows: Any, name: str, value: str
) -> None:
    for console in (shows(name, value), shows(is_terminal=False)):
        assert not console.shows_links
        output.print_text(output.linked("a.md", "file:///a.md"))
        assert "\x1b]" not in capsys.readouterr().out
    assert shows().shows_links
    output.print_text(output.linked("a.md", "file:///a.md"))
    assert links(capsys.readouterr().out) == [("file:///a.md", "a.md")]
    output.print_text(output.linked("a.md", None))
    assert "\x1b]" not in capsys.readouterr().out


def test_a_hostile_name_is_percent_encoded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, shows: Any
) -> None:
    name = "a\u202e;[red]\\e%1b;é.pdf".replace("\\", "")
    (tmp_path / name).write_text("x")
    passage = Passage("14 days", f"docs/{name}", origin=f"docs/{name}", end=7, page=2)
    hit = Hit(passage, rerank=0.5)
    places = Places([Root("docs", tmp_path, walked=True)])
    shows()
    cited = [Citation("14 days", hit, 0, 7, 0.9)]
    print_answer(Answer("q", "14 days", 0.9, cited, [hit], candidates=cited), places=places)
    print_answer(Answer("q", None, 0.5, [], [hit]), places=places)
    said = capsys.readouterr().out
    found = links(said)
    assert {address for address, _ in found} == {f"{(tmp_path / name).as_uri()}#page=2"}
    assert len(found) == 3
    assert "\u202e" not in said
    for address, shown in found:
        assert address.isascii()
        assert address.isprintable()
        assert "[red]" in shown
        assert ", page 2" in shown
    rest = re.sub(r"\x1b\[[\d;]*m", "", LINK.sub("", said))
    assert "\x1b" not in rest


def test_styles_are_kept_beside_links(capsys: pytest.CaptureFixture[str], shows: Any) -> None:
    shows()
    output.print_text(Text.assemble(("1. ", "bold"), output.linked("a", "file:///a")))
    said = capsys.readouterr().out
    assert said.startswith("\x1b[1m1. ")
    assert links(said) == [("file:///a", "a")]
