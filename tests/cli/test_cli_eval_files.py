"""What `eval` writes: checked before anything is measured, and never lost at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command, write_lines

from unimoer_rag.cli import targets
from unimoer_rag.cli.targets import check_target, save_json, save_text
from unimoer_rag.errors import InputError, StoreError

MINILM = ("--checkpoint", "minilm")


@pytest.mark.slow
def test_texts_of_any_kind_reach_every_file(run: Command, tmp_path: Path) -> None:
    """Half a character, a control character and markup in questions, titles and answers."""
    odd = "\ud83d \x1b[31m\x00 <script>alert(1)</script> \u2028 | \x85"
    data = tmp_path / "odd"
    (data / "qrels").mkdir(parents=True)
    write_lines(data / "corpus.jsonl", [{"_id": "d1", "title": odd, "text": f"14 days {odd}"}])
    write_lines(
        data / "queries.jsonl",
        [{"_id": "q1", "text": f"How long {odd}?", "answers": [f"15 {odd}"], "context": "d1"}],
    )
    (data / "qrels" / "test.tsv").write_text("q1\td1\t1\n", encoding="utf-8")
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    result = run("eval", *MINILM, "--data", data, "--worst", 1, "--json", out, "--html", page)
    assert result.exit_code == 0, result.output
    (worst,) = json.loads(out.read_text(encoding="utf-8"))["details"]["worst"]
    assert worst["question"].startswith("How long \ufffd ")
    shown = page.read_text(encoding="utf-8")
    assert "<script" not in shown
    assert "\x1b" not in shown + result.output
    compared = run("report", "compare", out, out)
    assert compared.exit_code == 0, compared.output


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_file_that_cannot_be_written_is_told_first(
    run: Command, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    target = tmp_path / "file" / "out"
    # The data are missing too: had they been looked for, that would be the error.
    result = run("eval", *MINILM, "--data", tmp_path / "nowhere", option, target)
    assert result.exit_code == 1
    assert "cannot write results to" in " ".join(result.stderr.split())


def test_targets_that_can_be_written(tmp_path: Path) -> None:
    for path in (None, Path("-"), tmp_path / "new" / "deep" / "a.json", Path("/dev/null")):
        assert check_target(path) == path
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="a folder: name a file"):
        check_target(tmp_path)
    with pytest.raises(InputError, match="cannot write results to"):
        check_target(tmp_path / ("x" * 300))


def test_what_cannot_be_written_in_the_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file" / "a.json"
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StoreError, match="what was measured is in") as caught:
        save_json({"f1": float("nan")}, blocked)
    (kept,) = tmp_path.glob("unimoer-rag-*.json")
    assert kept.name in str(caught.value)
    assert json.loads(kept.read_text(encoding="utf-8")) == {"f1": None}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(StoreError, match="on standard output instead"):
        save_text("measured\n", blocked)
    assert capsys.readouterr().out == "measured\n"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    save_json({"a": 1}, target)
    save_json({"a": 2}, target)
    assert json.loads(target.read_text(encoding="utf-8")) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert targets.__all__ == ["check_target", "save_json", "save_text"]
