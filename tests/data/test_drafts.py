"""Drafts of documents: where they come from, in which order, and as a file of questions."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from unimoer_rag.data import Draft, as_lines, by_rules, dealt, own_dataset, sentence_at, unique
from unimoer_rag.data.own_questions import read_questions
from unimoer_rag.retrieval import Document, Passage, whole

KAYAKS = Passage(
    "# Kayaks\nA kayak costs\n£35 a day. It is red.\n\n- The base is run by Tamsin Keogh.\n"
    "- Paddles\n\n| Boats | are kept for 3 days. |\n\nDr. No has 3 boats.",
    "a/kayaks.md",
    "Kayaks",
    start=100,
)


def draft(question: str, source: str = "a.md", answer: str = "x", kind: str = "time") -> Draft:
    return Draft(question, (answer,), source, "A passage.", kind)


def test_sentences_of_paragraphs_and_lists_are_asked_for() -> None:
    drafts = by_rules([KAYAKS])
    assert [d.question for d in drafts] == [
        "How much does a kayak cost a day?",
        "Who is the base run by?",
    ]
    first = drafts[0]
    assert first.passage == "A kayak costs £35 a day."
    assert first.span is not None
    start, end = (at - KAYAKS.start for at in first.span)
    assert KAYAKS.text[start:end] == "£35"
    assert (first.source, first.kind, first.held_by) == ("a/kayaks.md", "money", KAYAKS.id)


def test_a_document_without_facts_is_asked_for_by_its_title() -> None:
    [only] = by_rules([Passage("Be kind to others.", "b.md", "Manners")])
    assert only.question == "What is said about Manners?"
    assert (only.answers, only.span, only.kind) == ((), None, "title")
    assert by_rules([Passage("Be kind to others.", "b.md")]) == []


def test_a_capital_stays_where_it_is_a_name() -> None:
    texts = ["Emails are answered within 2 days.", "We like Fernway.", "Fernway has 4 stores."]
    drafts = by_rules([Passage(text, f"{n}.md") for n, text in enumerate(texts)])
    assert [d.question for d in drafts] == [
        "Within how many days are emails answered?",
        "How many stores does Fernway have?",
    ]


def test_questions_come_once_and_never_with_two_answers() -> None:
    same = [draft("When?", answer="May"), draft("when?", "b.md", answer="may"), draft("Who?")]
    assert unique(same) == [same[0], same[2]]
    torn = [draft("How much?", answer="£5"), draft("How much?", "b.md", answer="£6"), draft("Who?")]
    assert unique(torn) == torn[2:]


def test_every_first_part_is_spread_evenly() -> None:
    drafts = [
        draft(f"{source} {kind} {n}", source, kind=kind)
        for source, sizes in {"a": (9, 1), "b": (2, 2), "c": (1, 0)}.items()
        for kind, size in zip(("time", "money"), sizes, strict=True)
        for n in range(size)
    ]
    order = dealt(drafts, random.Random(3), lambda d: d.source, lambda d: d.kind)
    assert sorted(d.question for d in order) == sorted(d.question for d in drafts)
    assert {d.source for d in order[:3]} == {"a", "b", "c"}
    assert Counter(d.source for d in order[:7]) == {"a": 3, "b": 3, "c": 1}
    assert {d.kind for d in order if d.source == "b"} == {"time", "money"}
    firsts = [d for d in order if d.source == "a"][:2]
    assert {d.kind for d in firsts} == {"time", "money"}
    again = dealt(drafts, random.Random(3), lambda d: d.source, lambda d: d.kind)
    assert again == order
    assert dealt(drafts, random.Random(4), lambda d: d.source, lambda d: d.kind) != order


def test_the_file_is_one_of_questions(tmp_path: Path) -> None:
    folder, file = tmp_path / "docs", tmp_path / "questions.jsonl"
    folder.mkdir()
    (folder / "kayaks.md").write_text(f"# Kayaks\n\n{KAYAKS.text}", encoding="utf-8")
    (folder / "manners.md").write_text("# Manners\n\nBe kind to others.", encoding="utf-8")
    passages = [
        Passage(KAYAKS.text, "docs/kayaks.md"),
        Passage("Be kind to others.", "docs/manners.md", "Manners"),
    ]
    file.write_text(as_lines(by_rules(passages)), encoding="utf-8")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert all(row["draft"] for row in rows)
    assert rows[0]["answers"] == ["£35"]
    assert "answers" not in rows[2]
    assert [item.question for _, item in read_questions(file)] == [row["question"] for row in rows]
    own = own_dataset(folder, file, split=whole)
    assert own.not_found == ()
    assert own.dataset.golds == {"1": ("£35",), "2": ("Tamsin Keogh",)}
    found = {q: {own.document_of[i] for i in grades} for q, grades in own.dataset.qrels.items()}
    assert found == {"1": {"docs/kayaks.md"}, "2": {"docs/kayaks.md"}, "3": {"docs/manners.md"}}
    assert isinstance(next(iter(own.dataset.corpus.values())), Document)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("£35", "A kayak costs £35 a day."),
        ("Tamsin", "The base is run by Tamsin Keogh."),
        ("red.\n\n- The", " ".join(KAYAKS.text.split())),
    ],
)
def test_the_sentence_around_a_span(words: str, sentence: str) -> None:
    at = KAYAKS.text.index(words)
    assert sentence_at(KAYAKS.text, at, at + len(words)) == sentence
