"""What others wrote is shown as text: no controls, no markup, whatever the stream can encode."""

from __future__ import annotations

import ast
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

import unimoer_rag.cli
from unimoer_rag.cli import main, output
from unimoer_rag.cli.answers import print_answer
from unimoer_rag.cli.terminal import (
    CLOSED,
    Terminal,
    harmless,
    harmless_text,
    json_text,
    prepare_streams,
)
from unimoer_rag.errors import GeneratorRefusedError
from unimoer_rag.generation.types import Citation
from unimoer_rag.pipelines.answer import Answer
from unimoer_rag.retrieval.types import Hit, Passage

EVIL = "\x1b]0;OWNED\x07\x1b[2J \x9b31m \x7f \u202e \u2066 [red]hi[/red] [/] :warning: \udcff\r"
HARMFUL = {chr(n) for n in range(32)} - {"\n", "\t"} | {chr(n) for n in range(0x7F, 0xA0)}
HARMFUL |= set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")

Shows = Callable[..., io.StringIO]


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def shows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shows:
    """Turns the consoles of the commands into ones that write to what it gives."""

    def shown() -> io.StringIO:
        said = io.StringIO()
        console = Terminal()
        console.file, console._force_terminal = said, request.param
        console._color_system = None  # styles are escape sequences of our own
        for module in (output, main):
            for name in ("console", "errors"):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, console)
        monkeypatch.setattr(sys, "stdout", said)
        return said

    return shown


def _is_harmless(text: str) -> bool:
    return not (set(text) & HARMFUL or any("\ud800" <= c <= "\udfff" for c in text))


@given(st.text(st.characters(codec=None)))
def test_harmless_texts_are_as_long_and_say_what_was_there(text: str) -> None:
    shown = harmless(text)
    assert len(shown) == len(text)
    assert _is_harmless(shown)
    assert harmless(shown) == shown
    for was, now in zip(text, shown, strict=True):
        assert now == was or not _is_harmless(was)


def test_what_writers_use_stays() -> None:
    kept = "Grüße → ☂ \u200fעברית\u200e \tа\n日本語 👩\u200d🚒"
    assert harmless(kept) == kept
    assert harmless("a\x1bb\x7fc\x9bd\r\ne") == "a␛b␡c\ufffdd \ne"


def test_styles_stay_where_they_are() -> None:
    styled = harmless_text(Text.assemble(("a\x1b", "red"), ("\u202eb", "bold")))
    assert styled.plain == "a␛\ufffdb"
    assert [(s.start, s.end, s.style) for s in styled.spans] == [(0, 2, "red"), (2, 4, "bold")]


def test_answers_citations_and_nearest_passages(shows: Shows) -> None:
    passage = Passage(f"{EVIL} 14 days {EVIL}", EVIL, EVIL, 0, 200)
    citation = Citation(passage.text[2:9], Hit(passage, 0.5), 2, 9, 0.5)
    said = shows()
    print_answer(Answer("q", EVIL, 0.5, [citation], [Hit(passage, 0.5)]))
    print_answer(Answer("q", None, 0.5, [], [Hit(passage, 0.5)]))
    assert "[red]hi[/red] [/] :warning:" in said.getvalue()
    assert _is_harmless(said.getvalue())


def test_errors_pieces_tables_and_progress(shows: Shows) -> None:
    said = shows()
    with pytest.raises(main.typer.Exit):
        main._fail(str(GeneratorRefusedError(f"refused: {EVIL}")))
    for piece in ("\x1b", "[2J", EVIL):
        output.print_piece(piece)
    table = Table(title=EVIL, caption=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    output.console.print(table)
    with output.progress_bar() as bar:
        show = output.counting(bar)
        show(EVIL, 1, 2)
    assert "[red]hi[/red]" in said.getvalue()
    left = set(said.getvalue()) & HARMFUL
    # A drawn progress bar moves the cursor by itself.
    assert left <= ({"\x1b", "\r"} if output.console.is_terminal else set())
    assert "\x1b]" not in said.getvalue()
    assert "\x1b[2J" not in said.getvalue()


def test_tables_off_a_terminal_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title="a title")
    table.add_column("name")
    table.add_column("value", justify="right")
    table.add_column("losses")
    table.add_row("a name " * 20, "0.3141592653589793", "embed 0.1\nread 0.2")
    table.add_row("日本語", "2", "")
    Terminal().print(table)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "a title"
    assert said[1].split() == ["name", "value", "losses"]
    assert said[2] == f"{'a name ' * 20} 0.3141592653589793  embed 0.1, read 0.2"
    assert said[3].split() == ["日本語", "2"]
    assert said[3].endswith(" 2")
    assert len(said) == 4


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_the_same_value_with_nothing_harmful(ascii_only: bool) -> None:
    value = {EVIL: [EVIL, 1, None, float("nan"), float("-inf"), "→ é 👩"]}
    text = json_text(value, ascii_only=ascii_only)
    assert _is_harmless(text)
    assert text.isascii() == ascii_only
    assert json.loads(text) == {EVIL: [EVIL, 1, None, None, None, "→ é 👩"]}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8", "utf-16"])
def test_streams_take_every_text(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    prepare_streams()
    output.print_text("14 days → é ☂ 👩")
    output.print_json({"é": "→ 👩"})
    stream.flush()
    said = buffer.getvalue().decode(encoding)
    first, _, rest = said.partition("\n")
    assert first.startswith("14 days ")
    assert json.loads(rest) == {"é": "→ 👩"}
    print("nowhere", file=sys.stderr)
    sys.stderr.close()


def test_a_reader_that_leaves_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", file)
        with pytest.raises(SystemExit) as left:
            Terminal().on_broken_pipe()
        file.write("what nobody reads")
    assert left.value.code == CLOSED
    assert (tmp_path / "out").read_text() == ""


def test_commands_print_through_one_place() -> None:
    """No command uses Rich's markup, which a text may hold, or prints by itself."""
    folder = Path(unimoer_rag.cli.__path__[0])
    for file in folder.rglob("*.py"):
        if file.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.module != "rich.markup", f"{file.name}: texts need no escape here"
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "Console"), f"{file.name}:{node.lineno}"
                if called == "sys.stdout.write":
                    assert file.name == "output.py", f"{file.name}:{node.lineno}"
