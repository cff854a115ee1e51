"""Official files of questions and passages."""

from __future__ import annotations

import copy
import gzip
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data.official_files import (
    BEIR_CORPUS,
    DPR,
    FLASHRAG,
    FLASHRAG_CORPUS,
    HOTPOTQA,
    NQ_OPEN,
    TRIVIAQA,
    lines,
    write,
)

from unimoer_rag.data.datasets import Question
from unimoer_rag.data.formats import CORPORA, QUESTIONS, find_format
from unimoer_rag.errors import DataError, MissingExtraError
from unimoer_rag.retrieval.types import Document

FILES = {
    "NQ-open": lines(NQ_OPEN),
    "TriviaQA": json.dumps(TRIVIAQA, indent=4),
    "HotpotQA": json.dumps(HOTPOTQA),
    "FlashRAG questions": lines(FLASHRAG),
    "FlashRAG corpus": lines(FLASHRAG_CORPUS),
    "BEIR corpus": lines(BEIR_CORPUS),
    "DPR passages": DPR,
}


def test_every_format_has_a_file_here() -> None:
    assert FILES.keys() == {*QUESTIONS, *CORPORA}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("packed", ["", ".gz", ".zip"])
def test_a_format_is_known_by_its_content(tmp_path: Path, kind: str, packed: str) -> None:
    path = tmp_path / f"some.file{packed}"
    if packed == ".gz":
        path.write_bytes(gzip.compress(FILES[kind].encode()))
    elif packed == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/some.file", FILES[kind])
            archive.writestr("__MACOSX/folder/._some.file", "\0")
    else:
        write(path, FILES[kind])
    assert find_format(path) == kind
    if kind in QUESTIONS:
        assert len(QUESTIONS[kind](path).questions) == 2
    else:
        assert all(document.text for _, document in CORPORA[kind](path))


def test_a_compact_file_on_one_line_is_known_too(tmp_path: Path) -> None:
    assert find_format(write(tmp_path / "a.json", json.dumps(TRIVIAQA))) == "TriviaQA"


@pytest.mark.parametrize(
    "content", ["", "Dear reader,\n", '{"text": "no id"}\n', "[1, 2]", '{"a":', "a\tb\n"]
)
def test_an_unknown_file_is_told_which_formats_there_are(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"no format known.*NQ-open, TriviaQA, HotpotQA, FlashRAG"):
        find_format(write(tmp_path / "file", content))


def test_an_archive_of_several_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", "a")
        archive.writestr("b", "b")
    with pytest.raises(DataError, match="holds 2 files: unpack it"):
        find_format(tmp_path / "two.zip")
    (tmp_path / "no.zip").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="a damaged zip file"):
        find_format(tmp_path / "no.zip")


def test_nq_open(tmp_path: Path) -> None:
    found = QUESTIONS["NQ-open"](write(tmp_path / "nq", lines(NQ_OPEN)))
    assert found.questions == [
        Question("1", "when do refunds come", ("14 days", "two weeks")),
        Question("2", "who rents tents", ("The shop",)),
    ]
    assert not found.passages
    assert not found.qrels


def test_triviaqa_accepts_every_alias_once(tmp_path: Path) -> None:
    # The same question stands in the file once for each page that answers it.
    repeated = {**TRIVIAQA, "Data": [*TRIVIAQA["Data"], TRIVIAQA["Data"][0]]}
    found = QUESTIONS["TriviaQA"](write(tmp_path / "dev.json", repeated))
    assert [q.id for q in found.questions] == ["tc_1", "tc_2"]
    assert found.questions[0].answers == (
        "Sunset Boulevard",
        "Sunset Blvd",
        "Sunset Bvd.",
        "sunset blvd",
        "sunset bvd",
    )
    assert found.questions[1].answers == ("Campbell-Bannerman", "campbell bannerman", "Sir Henry")


def test_hotpotqa_distractor(tmp_path: Path) -> None:
    found = QUESTIONS["HotpotQA"](write(tmp_path / "dev.json", HOTPOTQA))
    assert found.questions == [
        Question("5a8b57f2", "Were Scott and Ed of the same nationality?", ("yes",)),
        Question("5a8c7595", "What office did the woman of Woodson hold?", ("Chief of Protocol",)),
    ]
    # The paragraphs of all questions, each once; another text under the same title is another.
    assert list(found.passages) == ["Ed", "Scott", "Woodson", "Woodson #2", "Shirley"]
    assert found.passages["Ed"] == Document(
        "Ed made films. He was American.", source="Ed", title="Ed"
    )
    assert found.passages["Woodson #2"].title == "Woodson"
    # Relevant is the paragraph that stands in the question's own context.
    assert found.qrels == {
        "5a8b57f2": {"Scott": 1, "Ed": 1},
        "5a8c7595": {"Shirley": 1, "Woodson #2": 1},
    }
    assert found.titles["5a8c7595"] == ("Shirley", "Woodson")


def test_hotpotqa_fullwiki_may_miss_a_paragraph(tmp_path: Path) -> None:
    retrieved = copy.deepcopy(HOTPOTQA)
    del retrieved[1]["context"][1]  # Shirley was not retrieved
    found = QUESTIONS["HotpotQA"](write(tmp_path / "dev.json", retrieved))
    assert found.qrels["5a8c7595"] == {"Shirley": 1, "Woodson #2": 1}
    assert "Shirley" not in found.passages


def test_flashrag(tmp_path: Path) -> None:
    found = QUESTIONS["FlashRAG questions"](write(tmp_path / "test.jsonl", lines(FLASHRAG)))
    assert found.questions == [
        Question("test_0", "when do refunds come", ("14 days",)),
        Question("test_1", "who rents tents", ("the shop",)),
    ]


def test_passages(tmp_path: Path) -> None:
    flashrag = CORPORA["FlashRAG corpus"](write(tmp_path / "wiki.jsonl", lines(FLASHRAG_CORPUS)))
    assert [document for _, document in flashrag] == [
        Document("Refunds come in 14 days.\nNot on Sundays.", source="0", title="Refunds"),
        Document("Tents are for rent.", source="1"),
    ]
    dpr = CORPORA["DPR passages"](write(tmp_path / "psgs.tsv", DPR))
    assert [document for _, document in dpr] == [
        Document('Aaron ( or ; "Ahärôn") is a prophet.', source="1", title="Aaron"),
        Document("Refunds come in 14 days.", source="2", title='"Refunds"'),
        Document("The shop rents tents.", source="3", title="Tents"),
    ]


def _changed(value: Any, *keys: Any, to: Any) -> Any:
    value = copy.deepcopy(value)
    inner = value
    for key in keys[:-1]:
        inner = inner[key]
    if to is ...:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = to
    return value


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("NQ-open", lines([{"question": "a", "answer": [1]}]), r"line 1: found answer \[1\]"),
        ("NQ-open", lines([{"answer": ["1"]}]), "line 1: found question None"),
        ("FlashRAG questions", lines(FLASHRAG[:1] * 2), "line 2: found id 'test_0' a second"),
        ("FlashRAG questions", lines([{"id": "a", "question": "?"}]), "found golden_answers None"),
        ("TriviaQA", _changed(TRIVIAQA, "Data", 1, "Answer", to=...), "item 2: no Answer"),
        ("TriviaQA", _changed(TRIVIAQA, "Data", 0, "QuestionId", to=3), "item 1: found QuestionId"),
        ("TriviaQA", _changed(TRIVIAQA, "Data", 0, "Answer", "Value", to=1), "item 1: found Answe"),
        ("TriviaQA", _changed(TRIVIAQA, "Data", 0, "Answer", "Aliases", to="a"), "found Aliases"),
        ("TriviaQA", _changed(TRIVIAQA, "Data", 0, to=[]), "item 1: found a JSON list"),
        ("TriviaQA", '{"Data": [{"Question": ', "no valid JSON"),
        ("HotpotQA", _changed(HOTPOTQA, 1, "answer", to=...), "item 2: no answer.*test set"),
        ("HotpotQA", _changed(HOTPOTQA, 0, "question", to=" "), "item 1: found question ' '"),
        ("HotpotQA", _changed(HOTPOTQA, 1, "_id", to="5a8b57f2"), "item 2: found _id '5a8b57f2' a"),
        ("HotpotQA", _changed(HOTPOTQA, 0, "context", to={"a": 1}), "item 1: found context"),
        ("HotpotQA", _changed(HOTPOTQA, 0, "context", 0, to=["Ed", "text"]), "found context"),
        ("HotpotQA", _changed(HOTPOTQA, 0, "supporting_facts", to=["Ed"]), "supporting_facts"),
        ("FlashRAG corpus", lines([{"id": "1"}]), "line 1: found contents None"),
        ("DPR passages", "id\ttext\ttitle\n1\ta\n", "line 2: found 2 tab-separated columns"),
        ("DPR passages", 'id\ttext\ttitle\n1\t"a" b\tc\n', "line 2: found"),
    ],
)
def test_a_damaged_file_is_refused_by_its_place(
    tmp_path: Path, kind: str, content: Any, message: str
) -> None:
    path = write(tmp_path / "file", content)
    reader: Callable[[Path], Any] = QUESTIONS[kind] if kind in QUESTIONS else CORPORA[kind]
    with pytest.raises(DataError, match=message):
        list(reader(path)) if kind in CORPORA else reader(path)


def test_official_json_needs_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ijson", None)
    with pytest.raises(MissingExtraError, match=r"unimoer-rag\[eval\]"):
        QUESTIONS["HotpotQA"](write(tmp_path / "dev.json", HOTPOTQA))
