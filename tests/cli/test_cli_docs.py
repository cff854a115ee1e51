"""`unimoer-rag docs`, and `index` that syncs and chooses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command

MINILM = ("--checkpoint", "minilm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.md").write_text(f"Text of {name}.")
    return folder


@pytest.mark.slow
def test_lists_compares_syncs_and_removes(run: Command, folder: Path, tmp_path: Path) -> None:
    index = ("--index", tmp_path / "index")
    assert run("index", folder, *index, *MINILM).exit_code == 0
    (folder / "a.md").unlink()
    (folder / "b.md").write_text("Changed.")
    (folder / "d.md").write_text("New.")
    status = json.loads(run("docs", "status", folder, *index, "--json").stdout)
    assert {kind: status[kind] for kind in ("new", "changed", "gone", "unchanged")} == {
        "new": ["docs/d.md"],
        "changed": ["docs/b.md"],
        "gone": ["docs/a.md"],
        "unchanged": ["docs/c.md"],
    }
    said = run("docs", "status", folder, *index).stdout
    assert "gone     docs/a.md" in said
    assert "1 new, 1 changed, 1 gone, 1 unchanged" in said
    assert "1 removed" in run("index", folder, *index, *MINILM).stdout
    assert "docs/a.md" in run("docs", "ls", *index).stdout
    assert "1 removed; the index holds 3" in run("index", folder, "--sync", *index, *MINILM).stdout
    listed = json.loads(run("docs", "ls", *index, "--json").stdout)
    assert [one["name"] for one in listed] == ["docs/b.md", "docs/c.md", "docs/d.md"]
    gone = json.loads(run("docs", "rm", "docs/b.md", "*/d.md", *index, "--json").stdout)
    assert (len(gone["removed"]), gone["total"]) == (2, 1)
    assert run("docs", "ls", "nothing", *index).stdout == "nothing\n"


@pytest.mark.slow
def test_a_folder_that_became_empty_is_not_synced(
    run: Command, folder: Path, tmp_path: Path
) -> None:
    index = ("--index", tmp_path / "index")
    run("index", folder, *index, *MINILM)
    for file in folder.iterdir():
        file.unlink()
    result = run("index", folder, "--sync", *index, *MINILM)
    assert result.exit_code == 1
    assert "docs rm docs" in result.stderr
    removed = run("docs", "rm", "docs", *index)
    assert (removed.exit_code, removed.stdout.splitlines()[-1]) == (
        0, "3 passages removed; the index holds 0"
    )  # fmt: skip


@pytest.mark.slow
def test_chooses(run: Command, folder: Path, tmp_path: Path) -> None:
    (folder / ".gitignore").write_text("a.md\n")
    index = ("--index", tmp_path / "index")
    chosen = run("index", folder, *index, *MINILM, "--exclude", "b.*", "--include", "*.md")
    assert chosen.exit_code == 0
    assert "1 document: 1 passage added" in chosen.stdout
    assert "passed over: 1 excluded, 1 hidden, 1 ignored" in chosen.stdout
    assert "2 passages added" in run("index", folder, *index, *MINILM, "--no-ignore").stdout


def test_many_problems_of_a_kind_are_one_line(run: Command, folder: Path, tmp_path: Path) -> None:
    for n in range(7):
        (folder / f"empty{n}.txt").write_text("")
    (folder / "rows.jsonl").write_text('{"text": "a", "deep": [1]}\n')
    result = run("index", folder, "--index", tmp_path / "index", *MINILM)
    assert result.exit_code == 3
    [problem] = [line for line in result.stderr.splitlines() if "not indexed" in line]
    assert problem.startswith("not indexed: 7: it is empty")
    assert "docs/empty0.txt, docs/empty1.txt, docs/empty2.txt, ..." in problem
    assert "metadata 'deep' of 1 in" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ls",), "--index DIR"),
        (("ls", "--index", "{missing}"), "there is no index at"),
        (("rm", "typo", "--index", "{indexed}"), "nothing of 'typo'"),
        (("status", "missing", "--index", "{indexed}"), "no such file or folder"),
        (("status", ".", "--exclude", "!", "--index", "{indexed}"), "is no glob"),
    ],
)
def test_mistakes(
    run: Command, indexed: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    places = {"indexed": indexed, "missing": tmp_path / "missing"}
    result = run("docs", *(word.format(**places) for word in words))
    assert result.exit_code == 1
    assert said in result.stderr
    assert not (tmp_path / "missing").exists()


def test_a_name_with_a_line_end_is_one_line(run: Command, tmp_path: Path) -> None:
    folder, index = tmp_path / "docs", ("--index", tmp_path / "index")
    folder.mkdir()
    (folder / "new\nline.txt").write_text("Refunds take 14 days.")
    assert run("index", folder, *index, *MINILM).exit_code == 0
    [line] = run("docs", "ls", *index).stdout.splitlines()
    assert line.startswith("docs/new\u240aline.txt")
