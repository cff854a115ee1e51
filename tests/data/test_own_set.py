"""A user's own documents and questions as a data set to measure by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.data.datasets import Question
from unimoer_rag.data.own_set import own_dataset
from unimoer_rag.errors import DataError
from unimoer_rag.retrieval.types import Document, Passage

ROWS: list[dict[str, Any]] = [
    {"question": "How long do refunds take?", "answers": ["14 days"], "source": "refunds.md"},
    {"question": "What does a tent cost?", "answer": "twenty pounds", "source": "tents.md"},
    {"question": "Where is the shop?", "answer": "In Leeds"},
    {"question": "Which page is about hours?", "source": "docs/hours.md"},
    {"question": "Who is the king?", "answers": [], "source": None},
    {"question": "Which is blue?", "passage": "The tent is blue."},
    {"question": "Half \ud83d?", "answer": "9 am"},
]


def halves(document: Document) -> list[Passage]:
    """Each paragraph a passage."""
    parts = document.text.split("\n\n")
    return [Passage(text, document.source, start=at) for at, text in enumerate(parts)]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in (
        ("refunds.md", "Refunds take 14 days.\n\nThey are paid by card."),
        ("tents.md", "A tent costs 20 pounds.\n\nThe tent is blue."),
        ("hours.md", "We open at 9 am.\n\nOn Sundays we are closed."),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "asked.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    return folder


def test_what_answers_is_relevant(docs: Path) -> None:
    found = own_dataset(docs, docs / "asked.jsonl", split=halves)
    dataset = found.dataset
    assert (dataset.name, found.documents, len(dataset.corpus)) == ("docs", 3, 6)
    relevant = {
        qid: {dataset.corpus[doc_id].text for doc_id in grades}
        for qid, grades in dataset.qrels.items()
    }
    assert relevant == {
        "1": {"Refunds take 14 days."},
        "2": {"A tent costs 20 pounds.", "The tent is blue."},  # in other words: the document
        "4": {"We open at 9 am.", "On Sundays we are closed."},
        "6": {"The tent is blue."},
        "7": {"We open at 9 am."},
    }
    assert found.by_source == 2
    (missing,) = found.not_found
    assert "asked.jsonl, line 3: 'In Leeds' does not stand in any document" in missing.reason
    answers = {q.id: q.answers for q in dataset.questions}
    assert answers["1"] == ("14 days",)
    assert answers["3"] == ("In Leeds",)
    assert answers["4"] is answers["6"] is None
    assert answers["5"] == ()
    assert dataset.questions[6] == Question("7", "Half \ufffd?", ("9 am",))
    told = str(found)
    assert "7 questions: 5 with relevant passages (2 of them by their document alone), 1" in told


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?"}, "line 1: found neither answer nor passage"),
        ({"question": "", "answer": "x"}, "line 1: found no question"),
        ({"question": "?", "source": "nowhere.md"}, "none of the 1 questions.*there is no such"),
    ],
)
def test_nothing_to_measure_by(docs: Path, row: dict[str, Any], message: str) -> None:
    (docs / "asked.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        own_dataset(docs, docs / "asked.jsonl", split=halves)


def test_questions_in_csv(docs: Path, tmp_path: Path) -> None:
    text = '\ufeffquestion,answer,source\r\n"How, long?",14 days,\r\nWhich?,,hours.md\r\n'
    (tmp_path / "asked.csv").write_bytes(text.encode())
    (docs / "asked.jsonl").unlink()
    dataset = own_dataset(docs, tmp_path / "asked.csv", split=halves, name="mine").dataset
    assert [q.text for q in dataset.questions] == ["How, long?", "Which?"]
    assert [len(grades) for grades in dataset.qrels.values()] == [1, 2]
    assert dataset.name == "mine"
