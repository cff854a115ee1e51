"""Settings that need not be typed: the nearest counts, and a key is its server's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from cli_helpers import Command
from typer.testing import CliRunner

from unimoer_rag.cli.option_groups import with_options
from unimoer_rag.cli.retrieval_options import IndexPlace
from unimoer_rag.cli.settings import FILE, Setting, default_map, find_settings, settings_in_force
from unimoer_rag.errors import InputError

HERE = "http://here:6333"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The working folder, and that of the user's settings."""
    here, own = tmp_path / "here", tmp_path / "own"
    here.mkdir()
    own.mkdir()
    monkeypatch.chdir(here)
    return here, own


def write(folder: Path, text: str) -> None:
    (folder / FILE).write_text(text, encoding="utf-8")


def given(folders: tuple[Path, Path], *words: str) -> dict[str, Any]:
    """What a command gets of the words, the environment and the files."""
    found: dict[str, Any] = {}
    app = typer.Typer()

    def look(
        *, place: IndexPlace, docs: Annotated[str | None, typer.Option("--docs")] = None
    ) -> None:
        found.update(vars(place))
        found["key"] = found.pop("api_key")

    app.command()(with_options(look))

    settings = find_settings(*folders)
    command: Any = typer.main.get_command(app)
    values = default_map(command, settings)
    result = CliRunner().invoke(app, list(words), obj=settings, default_map=values)
    assert result.exit_code == 0, result.output
    return found


def test_the_nearest_counts(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    here, own = folders
    assert given(folders) == {"index": None, "url": None, "key": None, "collection": "unimoer"}
    write(own, 'url = "http://own:6333"\ncollection = "own"\n')
    assert given(folders) | {"key": None} == {
        "index": None,
        "url": "http://own:6333",
        "key": None,
        "collection": "own",
    }
    write(here, 'index = "kept.index"\n')
    assert given(folders)["index"] == here / "kept.index"
    assert given(folders)["url"] is None  # a folder took its place
    assert given(folders)["collection"] == "own"
    monkeypatch.setenv("UNIMOER_URL", "http://environment:6333")
    assert given(folders)["url"] == "http://environment:6333"
    assert given(folders)["index"] is None
    assert given(folders, "--index", "typed")["index"] == Path("typed")
    assert given(folders, "--index", "typed")["url"] is None
    monkeypatch.delenv("UNIMOER_URL")
    monkeypatch.setenv("UNIMOER_INDEX", "environment")
    assert given(folders)["index"] == Path("environment")
    assert given(folders, "--url", "http://typed")["index"] is None
    both = given(folders, "--url", "http://typed", "--index", "typed")
    assert (both["index"], both["url"]) == (Path("typed"), "http://typed")  # refused later


def test_documents_that_are_typed_go_into_no_index_that_is_not(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIMOER_INDEX", "kept")
    assert given(folders, "--docs", "x")["index"] is None
    assert given(folders, "--docs", "x", "--index", "typed")["index"] == Path("typed")


def test_a_key_is_its_servers(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    here, own = folders
    write(own, f'[keys]\n"{HERE}" = "k-here"\n"https://other" = "k-other"\n')
    assert given(folders, "--url", "http://HERE:6333/x")["key"] == "k-here"
    assert given(folders, "--url", "https://other:443")["key"] == "k-other"
    assert given(folders, "--url", "http://other")["key"] is None
    assert given(folders, "--url", HERE, "--api-key", "typed")["key"] == "typed"
    monkeypatch.setenv("QDRANT_API_KEY", "k-environment")
    assert given(folders, "--url", HERE)["key"] == "k-environment"
    # What a folder from elsewhere names gets what the user said of that server, and no more.
    write(here, 'url = "http://stranger:6333"\n')
    assert given(folders)["url"] == "http://stranger:6333"
    assert given(folders)["key"] is None
    write(here, f'url = "{HERE}"\n')
    assert given(folders)["key"] == "k-here"
    assert "k-here" not in repr(find_settings(*folders))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('model = "x"', "unknown setting 'model': expected one of index, url"),
        ("index = 3", "index is 3: expected a text"),
        ('index = ""', "index is '': expected a text"),
        ('index = "x"\nurl = "y"', "both index and url"),
        ('[keys]\n"http://x" = "y"', "keep [keys] in"),
        ("keys = 3", "must be a table"),
        ("[keys]\nx = 3", "must be a table"),
        ("index = [", "is no TOML"),
        ("index = " + "[" * 100_000, "is no TOML"),
        ("x = " + "9" * 10_000, "is no TOML"),
        ("#" * (1 << 20) + "#", "is larger than"),
    ],
)
def test_files_that_say_what_they_must_not(
    folders: tuple[Path, Path], text: str, said: str
) -> None:
    write(folders[0], text)
    with pytest.raises(InputError) as error:
        find_settings(*folders)
    assert said in str(error.value)
    assert FILE in str(error.value)


def test_bytes_that_are_no_text(folders: tuple[Path, Path]) -> None:
    (folders[0] / FILE).write_bytes(b'index = "\xff"')
    with pytest.raises(InputError, match="no TOML"):
        find_settings(*folders)


def test_what_is_shown_holds_no_secret(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, own = folders
    write(own, f'collection = "c"\n[keys]\n"{HERE}" = "k-here"\n')
    write(here, 'index = "i"\n')
    monkeypatch.setenv("UNIMOER_URL", "http://me:secret@host:6333")
    shown = settings_in_force(find_settings(*folders))
    assert shown == {
        "collection": Setting("c", str(own / FILE)),
        "url": Setting("http://host:6333", "UNIMOER_URL"),
    }


@pytest.mark.slow
def test_commands_take_them(
    run: Command, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIMOER_INDEX", str(indexed))
    monkeypatch.setenv("UNIMOER_CHECKPOINT", "unimoer-minilm")  # the index has its own
    (hit,) = json.loads(run("search", "refunds", "-k", 1, "--json").stdout)
    assert hit["source"] == "docs/refunds.md"
    assert json.loads(run("ask", "refunds?", "--json").stdout)["hits"][0]["source"] == hit["source"]
    shown = run("info", "minilm", "--json")
    assert json.loads(shown.stdout)["settings"]["index"] == {
        "value": str(indexed),
        "source": "UNIMOER_INDEX",
    }
    assert "UNIMOER_INDEX" in run("info", "minilm").stdout
    pipeline = tmp_path / "mine.yaml"
    pipeline.write_text("retrieve: {index: elsewhere}\n", encoding="utf-8")
    result = run("ask", "refunds?", "--pipeline", pipeline)
    assert "there is no index at elsewhere" in result.stderr
    monkeypatch.delenv("UNIMOER_INDEX")
    monkeypatch.chdir(tmp_path)
    write(tmp_path, f'index = "{indexed}"\n')
    assert run("search", "refunds", "-k", 1).exit_code == 0
    write(tmp_path, "nothing = 1\n")
    result = run("search", "refunds")
    assert result.exit_code == 1
    assert "unknown setting 'nothing'" in result.stderr
