"""A folder of documents and a file of questions as data sets."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from docx import Document as DocxDocument

from unimoer_rag.data import OwnData, ReadSource, beir_set, find_spans, own_datasets
from unimoer_rag.errors import DataError, InputError, ReadError
from unimoer_rag.retrieval.chunking import Chunker, Chunking, whole
from unimoer_rag.retrieval.types import Document, Passage


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    """Documents of four kinds, one of which cannot be read."""
    folder = tmp_path / "handbook"
    (folder / "eu").mkdir(parents=True)
    (folder / "refunds.md").write_text(
        "# Refunds\n\nRefunds are paid within fourteen\ndays of the return.\n\n"
        "Parcels take a week.\n",
        encoding="utf-8",
    )
    (folder / "eu" / "parking.txt").write_text("Parking is free on Sundays.", encoding="utf-8")
    (folder / "lunch.html").write_text(
        "<title>Lunch</title><p>Lunch is served at noon.</p>", encoding="utf-8"
    )
    docx = DocxDocument()
    docx.add_paragraph("Employees have twenty-eight days of holiday.")
    docx.save(str(folder / "holidays.docx"))
    (folder / "broken.pdf").write_bytes(b"no pdf")
    return folder


ROWS: list[dict[str, Any]] = [
    {"question": "When is a refund paid?", "answer": "Fourteen days", "source": "refunds.md"},
    {"question": "When is parking free?", "answer": "Sundays", "source": "eu/parking.txt"},
    {"question": "When is lunch?", "answer": "noon"},
    {
        "question": "How many holidays?",
        "answers": ["twenty-eight", "28"],
        "source": "Holidays.docx",
    },
    {"question": "How long do parcels take?", "passage": "Parcels take  a week."},
    {"question": "WHEN IS LUNCH?", "answer": "noon", "source": "handbook/lunch.html"},
]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def by_paragraph(document: Document) -> Sequence[Passage]:
    """A splitter by blank lines, so that the tests say what a passage is."""
    found, at = [], 0
    for part in document.text.split("\n\n"):
        if part.strip():
            found.append(
                Passage(
                    part, document.source, document.title, at, at + len(part), document.metadata
                )
            )
        at += len(part) + 2
    return found


def test_each_question_gets_the_passage_that_answers(handbook: Path, tmp_path: Path) -> None:
    own = own_datasets(
        handbook, jsonl(tmp_path / "asked.jsonl", ROWS), split=by_paragraph, name="mine"
    )
    train, dev, report = own
    assert (report.documents, report.questions) == (4, 6)
    assert [problem.path for problem in report.unreadable] == ["handbook/broken.pdf"]
    assert report.not_found == ()
    assert (len(train.questions), len(dev.questions)) == (report.train, report.dev)
    assert report.train + report.dev == 6
    assert report.passages == len(train.corpus) == len(dev.corpus)
    assert (train.name, train.split, dev.split) == ("mine", "train", "dev")
    answered = {}
    for dataset in (train, dev):
        for question in dataset.questions:
            first = next(iter(dataset.qrels[question.id]))
            answered[question.text] = (question, dataset.corpus[first])
    text = {asked: passage.text for asked, (_, passage) in answered.items()}
    assert text["When is a refund paid?"].startswith("Refunds are paid")
    assert text["When is parking free?"] == "Parking is free on Sundays."
    assert "noon" in text["When is lunch?"]
    assert text["How many holidays?"].startswith("Employees")
    assert text["How long do parcels take?"].startswith("Parcels take")
    # An answer is as the passage words it, for the reader; a passage alone has none.
    refund, passage = answered["When is a refund paid?"]
    assert refund.answers == ("fourteen\ndays", "Fourteen days")
    assert find_spans(refund.answers, passage.text)
    assert answered["How many holidays?"][0].answers == ("twenty-eight", "28")
    parcels, _ = answered["How long do parcels take?"]
    assert (parcels.answers, parcels.context) == (None, None)


def test_what_comes_out_can_be_trained_on(handbook: Path, tmp_path: Path) -> None:
    train = own_datasets(handbook, jsonl(tmp_path / "asked.jsonl", ROWS), split=by_paragraph).train
    found = beir_set(train)
    assert len(found.groups) == len(train.questions)
    assert len(found.texts) == len(train.corpus)
    source = ReadSource(train, unanswerable=0.0, crop=0.0, crop_words=20)
    assert len(source) == sum(q.context is not None for q in train.questions) > 0


def test_csv_is_read_like_jsonl(handbook: Path, tmp_path: Path) -> None:
    path = tmp_path / "asked.csv"
    path.write_text(
        "\ufeffquestion,answer,source\r\n"
        '"When is a ""refund"" paid?",fourteen days,refunds.md\r\n'
        "When is lunch?,noon,\r\n",
        encoding="utf-8",
    )
    own = own_datasets(handbook, path, split=whole)
    asked = {q.text for part in (own.train, own.dev) for q in part.questions}
    assert asked == {'When is a "refund" paid?', "When is lunch?"}


def test_a_packed_csv_file(handbook: Path, tmp_path: Path) -> None:
    path = tmp_path / "asked.csv.gz"
    path.write_bytes(gzip.compress(b"question,answer\nWhen is lunch?,noon\nWho?,Employees\n"))
    assert own_datasets(handbook, path, split=whole).report.questions == 2


def test_rows_of_several_lines_are_named_by_their_first(handbook: Path, tmp_path: Path) -> None:
    path = tmp_path / "asked.csv"
    path.write_text('question,answer\n"When\nis lunch?",noon\n"And\nthen\n?",\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 4: found neither answer nor passage"):
        own_datasets(handbook, path, split=whole)


def test_the_files_of_a_run_below_the_documents_are_no_documents(
    handbook: Path, tmp_path: Path
) -> None:
    asked = jsonl(tmp_path / "asked.jsonl", ROWS)
    run = handbook / "runs" / "one"
    before = own_datasets(handbook, asked, split=whole, but_not=run)
    run.mkdir(parents=True)
    (run / "log.jsonl").write_text('{"text": "Lunch is at noon."}\n{"step": 1}\n', encoding="utf-8")
    (run / "README.md").write_text("A model. Lunch at noon.", encoding="utf-8")
    assert own_datasets(handbook, asked, split=whole, but_not=run) == before
    assert own_datasets(handbook, asked, split=whole).report.documents == 6


def texts(own: OwnData) -> tuple[set[str], set[str]]:
    train, dev = ({q.text.lower() for q in part.questions} for part in (own.train, own.dev))
    return train, dev


def test_the_held_out_share_is_decided_by_the_words(handbook: Path, tmp_path: Path) -> None:
    rows = [{"question": f"Question {n}?", "answer": "noon"} for n in range(40)]
    path = tmp_path / "asked.jsonl"
    train, dev = texts(own_datasets(handbook, jsonl(path, rows), split=whole, held_out=0.25))
    assert (len(train), len(dev)) == (30, 10)
    # In another order, and with a question in other letters: the same, on one side.
    more = [*rows[::-1], {"question": "QUESTION 7?", "answer": "noon"}]
    assert texts(own_datasets(handbook, jsonl(path, more), split=whole, held_out=0.25)) == (
        train,
        dev,
    )
    # Asked again with other spaces, a held-out question is not trained on.
    again = [{"question": q.replace(" ", "  "), "answer": "noon"} for q in sorted(dev)]
    own = own_datasets(handbook, jsonl(path, [*rows, *again]), split=whole, held_out=0.25)
    assert (len(own.train.questions), len(own.dev.questions)) == (30, 20)
    # One question at least on either side.
    train, dev = texts(own_datasets(handbook, jsonl(path, rows[:2]), split=whole, held_out=0.01))
    assert (len(train), len(dev)) == (1, 1)


def test_all_passages_of_the_document_that_hold_the_answer_are_relevant(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(
        "The bridge of 1932 is tall.\n\nIn 1932 the bridge was opened by Lang.\n\nIt is red.",
        encoding="utf-8",
    )
    (tmp_path / "docs" / "b.txt").write_text("The tower is of 1932.", encoding="utf-8")
    rows = [
        {"question": "When was the bridge opened?", "answer": "1932"},
        {"question": "What colour is it?", "answer": "red"},
    ]
    own = own_datasets(tmp_path / "docs", jsonl(tmp_path / "q.jsonl", rows), split=by_paragraph)
    grades = {**own.train.qrels, **own.dev.qrels}["own-1"]
    assert [own.train.corpus[d].text for d in grades] == [
        "In 1932 the bridge was opened by Lang.",  # says most of what was asked
        "The bridge of 1932 is tall.",
    ]


def test_questions_without_a_passage_are_reported(handbook: Path, tmp_path: Path) -> None:
    (handbook / "us").mkdir()
    (handbook / "us" / "parking.txt").write_text("Parking costs a dollar.", encoding="utf-8")
    rows = [
        *ROWS[:3],
        {"question": "a?", "answer": "noon", "source": "refunds.md"},
        {"question": "b?", "answer": "noon", "source": "nowhere.md"},
        {"question": "c?", "answer": "free", "source": "parking.txt"},
        {"question": "d?", "passage": "No such text."},
        {"question": "e?", "answer": "lunc"},  # no part of a word
    ]
    path = jsonl(tmp_path / "asked.jsonl", rows)
    report = own_datasets(handbook, path, split=by_paragraph).report
    assert report.train + report.dev == 3
    reasons = {problem.path: problem.reason for problem in report.not_found}
    assert list(reasons) == [f"asked.jsonl:{line}" for line in range(4, 9)]
    assert "line 4: 'noon' does not stand in refunds.md" in reasons["asked.jsonl:4"]
    assert "source 'nowhere.md': there is no such document" in reasons["asked.jsonl:5"]
    assert "source 'parking.txt': 2 documents are called so" in reasons["asked.jsonl:6"]
    assert "the passage 'No such text.' does not stand in any" in reasons["asked.jsonl:7"]
    assert "'lunc' does not stand in any document" in reasons["asked.jsonl:8"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("q.jsonl", "", "q.jsonl holds no questions"),
        ("q.jsonl", '{"question": "a?"}\n', "line 1: found neither answer nor passage"),
        ("q.jsonl", '{"answer": "a"}\n', "line 1: found no question"),
        ("q.jsonl", '{"question": 3, "answer": "a"}\n', "line 1: found question 3"),
        ("q.jsonl", '{"question": "a?", "answers": "x"}\n', "line 1: found answers 'x'"),
        ("q.csv", "ask,answer\na,b\n", "line 1: found the columns ask, answer"),
        ("q.csv", "question,answer\na?,\n", "line 2: found neither answer nor passage"),
        ("q.csv", "question,answer\na?,5, or 6\n", "line 2: found more cells than the header"),
        ("q.csv", f'"question{"x" * 200_000}\n', "line 1: found field larger than"),
        ("q.jsonl", "[" * 100_000, "line 1 is no JSON .*nested deeper than 100"),
        ("q.jsonl", f'{{"question": {"1" * 5000}}}', "line 1 is no JSON .*Exceeds the limit"),
        ("q.jsonl", '{"question": "a?", "answer": "noon"}\n', "only 1 of 1 questions, counting"),
        ("q.jsonl", '{"question": "a?", "answer": "never"}\n', "only 0 of 1 .*'never' does not"),
    ],
)
def test_files_of_questions_that_are_refused(
    handbook: Path, tmp_path: Path, name: str, content: str, said: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        own_datasets(handbook, tmp_path / name, split=by_paragraph)


def test_other_arguments_that_are_refused(handbook: Path, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "asked.jsonl", ROWS)
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match=f"held_out is {share}"):
            own_datasets(handbook, path, split=whole, held_out=share)
    with pytest.raises(ReadError, match="no such file or folder"):
        own_datasets(tmp_path / "nowhere", path, split=whole)
    with pytest.raises(DataError, match="no passages in"):
        own_datasets(handbook, path, split=lambda document: [])


def test_the_chunker_of_retrieval_cuts(handbook: Path, tmp_path: Path, tiny_bert: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_bert))
    chunker = Chunker(tokenizer.backend_tokenizer, Chunking(size=40, overlap=8))
    long = " ".join(f"Sentence {n} says that item {n} costs {n} euros." for n in range(100, 160))
    (handbook / "prices.txt").write_text(long, encoding="utf-8")
    rows = [
        {"question": f"What does item {n} cost?", "answer": f"{n} euros"} for n in range(100, 160)
    ]
    own = own_datasets(handbook, jsonl(tmp_path / "asked.jsonl", rows), split=chunker.split)
    assert own.report.passages > 30
    assert own.report.not_found == ()
    for dataset in (own.train, own.dev):
        for question in dataset.questions:
            for d in dataset.qrels[question.id]:
                assert (question.answers or ("?",))[0] in dataset.corpus[d].text


def test_questions_in_the_folder_are_no_document(handbook: Path) -> None:
    inside = jsonl(handbook / "asked.jsonl", ROWS)
    report = own_datasets(handbook, inside, split=by_paragraph).report
    assert report.documents == 4
    assert [problem.path for problem in report.unreadable] == ["handbook/broken.pdf"]
