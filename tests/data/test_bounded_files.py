"""Files that are damaged or made to do harm: one line of error, and little memory or time."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest
from data.official_files import HOTPOTQA, TRIVIAQA, write

from unimoer_rag.data import lines as files
from unimoer_rag.data.corpora import beir_passages
from unimoer_rag.data.datasets import load_beir
from unimoer_rag.data.file_rows import json_rows
from unimoer_rag.data.formats import CORPORA, QUESTIONS, find_format, json_bounds
from unimoer_rag.data.formats.json_items import json_items
from unimoer_rag.data.lines import numbered_lines
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import load_run

DEEP = "[" * 100_000 + "]" * 100_000
LONG = "9" * 10_000


@pytest.mark.parametrize("value", [DEEP, LONG, '{"a":' * 2000 + "1" + "}" * 2000])
def test_depth_and_digits_are_bounded(tmp_path: Path, value: str) -> None:
    row = f'{{"_id": "d", "text": "x", "other": {value}}}'
    path = write(tmp_path / "corpus.jsonl", f'{{"_id": "a", "text": "x"}}\n{row}\n')
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 2 is no JSON") as caught:
        list(beir_passages(path))
    assert len(str(caught.value)) < 1000
    with pytest.raises(DataError, match="no format known"):
        find_format(write(tmp_path / "one.jsonl", row))


@pytest.mark.parametrize("kind", ["HotpotQA", "TriviaQA"])
@pytest.mark.parametrize("value", [DEEP, LONG, f'"{LONG * 10}"'])
def test_items_of_official_files_are_bounded(tmp_path: Path, kind: str, value: str) -> None:
    whole = json.dumps(HOTPOTQA if kind == "HotpotQA" else TRIVIAQA)
    key = '"context": ' if kind == "HotpotQA" else '"Answer": '
    path = write(tmp_path / "a.json", whole.replace(key, f'{key}{value}, "rest": ', 1))
    with pytest.raises(DataError, match=r"a\.json") as caught:
        QUESTIONS[kind](path)
    assert len(str(caught.value)) < 1000


def test_items_are_as_deep_as_they_are(tmp_path: Path) -> None:
    """Brackets in strings are text, whatever is escaped there and wherever a block ends."""
    odd = ["[" * 300, '"' + "{" * 300, "\\", '\\"[', "\\\\" * 70_001 + '"[[' * 200, "}" * 300]
    text = json.dumps({"Data": [{"QuestionId": "q", "odd": odd, "Question": "?"}]})
    path = write(tmp_path / "a.json", text)
    assert [item["odd"] for _, item in json_items(path, "Data.item")] == [odd]
    deep = text.replace('"odd": ', f'"odd": {"[" * 99}1{"]" * 99}, "more": ')
    with pytest.raises(DataError, match="nested deeper than 100"):
        list(json_items(write(tmp_path / "b.json", deep), "Data.item"))


def test_an_item_is_no_larger_than_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_bounds, "_LARGEST", 10**6)
    small = {"QuestionId": "q", "Question": "x" * 500_000}
    path = write(tmp_path / "a.json", json.dumps({"Data": [small] * 5}))
    assert len(list(json_items(path, "Data.item"))) == 5
    path = write(tmp_path / "b.json", json.dumps({"Data": [small | {"Question": "x" * 2 * 10**6}]}))
    with pytest.raises(DataError, match=r"b\.json: .*an item of more than 1,000,000 bytes"):
        list(json_items(path, "Data.item"))


def test_halves_of_characters_become_whole_ones(tmp_path: Path) -> None:
    odd = json.loads(json.dumps(HOTPOTQA).replace("?", "\\ud83d?"))
    read = QUESTIONS["HotpotQA"](write(tmp_path / "a.json", json.dumps(odd)))
    # The parser of long files has a question mark for one.
    assert read.questions[0].text.encode().decode().endswith(("\ufffd?", "??"))
    rows = [{"id": "1", "question": "who \ud83d?", "golden_answers": ["a\udc00b", " "]}]
    flash = QUESTIONS["FlashRAG questions"](write(tmp_path / "b.jsonl", json.dumps(rows[0])))
    assert (flash.questions[0].text, flash.questions[0].answers) == ("who \ufffd?", ("a\ufffdb",))


def test_a_line_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A packed file of one endless line is told before it fills the memory."""
    monkeypatch.setattr(files, "_LONGEST", 10**6)
    bomb = gzip.compress(b"q\td\t1\n" + b" " * 5 * 10**6)
    (tmp_path / "a.gz").write_bytes(bomb)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", gzip.decompress(bomb))
    for name in ("a.gz", "a.zip"):
        with pytest.raises(
            DataError, match=rf"{name}, line 2: found a line of more than 1,000,000"
        ):
            list(numbered_lines(tmp_path / name))
        with pytest.raises(DataError, match=rf"{name}, line 2"):
            list(CORPORA["DPR passages"](tmp_path / name))


def test_so_are_blank_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MOST_BLANK", 1000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x\n" + b"\n" * 1000 + b"y\n" + b"\n" * 1001))
    with pytest.raises(DataError, match=r"a\.gz, line 2003: found 1,001 blank lines"):
        list(numbered_lines(tmp_path / "a.gz"))


@pytest.mark.parametrize("keep", [5, 15, -1, -9])
def test_a_truncated_archive_is_named(tmp_path: Path, keep: int) -> None:
    packed = gzip.compress(b'{"_id": "d", "text": "x"}\n' * 50)
    (tmp_path / "a.jsonl.gz").write_bytes(packed[:keep])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz: a damaged gzip file"):
        list(json_rows(tmp_path / "a.jsonl.gz"))


def test_text_that_is_no_utf8_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"q Q0 d 1 1 t\nq Q0 \xe9 1 1 t\n")
    with pytest.raises(DataError, match="run, line 2: not UTF-8"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("grade", ["1001", "-5000", LONG, "1.5", "0x1", ""])
def test_grades_are_small_integers(tmp_path: Path, grade: str) -> None:
    """trec_eval makes room for every grade up to the highest."""
    (tmp_path / "qrels").mkdir()
    write(tmp_path / "corpus.jsonl", '{"_id": "d", "text": "x"}')
    write(tmp_path / "queries.jsonl", '{"_id": "q", "text": "x"}')
    write(tmp_path / "qrels" / "test.tsv", f"q\td\t{grade}\n")
    with pytest.raises(DataError, match=r"test\.tsv, line 1: found the grade"):
        load_beir(tmp_path)


def test_questions_that_ask_nothing_are_refused_by_every_format(tmp_path: Path) -> None:
    nq = write(tmp_path / "nq.jsonl", '{"question": " \\u001c", "answer": ["x"]}')
    flash = write(tmp_path / "f.jsonl", '{"id": "1", "question": "", "golden_answers": ["x"]}')
    for kind, path in (("NQ-open", nq), ("FlashRAG questions", flash)):
        with pytest.raises(DataError, match="line 1: found an empty question"):
            QUESTIONS[kind](path)
