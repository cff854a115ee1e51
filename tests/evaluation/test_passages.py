from __future__ import annotations

import re
import string
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.data import AnswerRules
from unimoer_rag.data.datasets import BeirDataset, Question
from unimoer_rag.evaluation.measure_ranking import asked
from unimoer_rag.evaluation.passages import CUTOFFS, answer_in_passage, holds_answer
from unimoer_rag.retrieval.types import Document


def _words(text: str) -> list[str]:
    """SQuAD's normalisation, step by step."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


@pytest.mark.parametrize(
    ("text", "answer", "held"),
    [
        ("They sell the Red  Tent, cheaply.", "red tent", True),
        ("They sell red tents.", "red tent", False),  # whole words only
        ("A red and green tent.", "red tent", False),  # one after the other
        ("Made in the U.S.A. since 1990.", "USA", True),
        ("Born in 1990-91.", "1990", False),  # punctuation leaves no gap
        ("tent", "tent", True),
        ("anything", "the", False),  # no answer at all
        ("", "tent", False),
    ],
)
def test_an_answer_stands_in_a_text_as_whole_words(text: str, answer: str, held: bool) -> None:
    assert holds_answer(text, answer, rules="squad") is held


@given(
    st.text("ab the.,-’", max_size=30),
    st.text("ab the.,-’", max_size=8),
)
def test_it_is_the_search_of_words_in_words(text: str, answer: str) -> None:
    wanted = _words(answer)
    ways = (_words(text), _words(text.replace(",", ", ")))  # cells with and without a space
    runs = [there[at : at + len(wanted)] for there in ways for at in range(len(there))]
    assert holds_answer(text, answer, rules="squad") is bool(wanted and wanted in runs)


def _dataset(questions: list[Question], texts: dict[str, str]) -> BeirDataset:
    corpus = {name: Document(text, source=name, title="the tent") for name, text in texts.items()}
    return BeirDataset("toy", "dev", corpus, questions, {q.id: {"p0": 1} for q in questions})


@pytest.mark.parametrize("rank", [1, 2, 5, 6, 20, 21, 100, 101])
def test_cutoffs_by_hand(rank: int) -> None:
    texts = {f"p{n}": "a tent." if n == rank else "a boat" for n in range(1, 120)}
    dataset = _dataset([Question("q", "what?", ("cabin", "Tent"))], texts)
    run = {"q": {name: -float(name[1:]) for name in texts}}
    expected = {f"answer-in-passage@{k}": float(rank <= k) for k in CUTOFFS}
    assert answer_in_passage(dataset, asked(dataset), run) == {"q": expected}


def test_which_questions_count() -> None:
    questions = [
        Question("found", "?", ("tent",)),
        Question("lost", "?", ("tent",)),  # without results
        Question("title", "?", ("tent",)),  # titles do not count
        Question("none", "?", ()),
        Question("empty", "?", ("the",)),
        Question("unknown", "?", None),
        Question("unjudged", "?", ("tent",)),
    ]
    dataset = _dataset(questions, {"p1": "my tent", "p2": "boat"})
    del dataset.qrels["unjudged"]
    found = answer_in_passage(dataset, asked(dataset), {"found": {"p1": 1.0}, "title": {"p2": 1.0}})
    assert {qid: row["answer-in-passage@100"] for qid, row in found.items()} == {
        "found": 1.0, "lost": 0.0, "title": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("rules", get_args(AnswerRules))
def test_cells_of_a_row_are_words_of_their_own(rules: AnswerRules) -> None:
    row = "city,country,1998,Main Street;7|12,000"
    for answer in ("city", "Country", "1998", "main street", "7", "12,000", "country, 1998"):
        assert holds_answer(row, answer, rules=rules), answer
    assert not holds_answer("Mainz,Bonn", "Main", rules=rules)
    assert holds_answer("12,000 seats", "12", rules=rules) is (rules == "triviaqa")
    dataset = _dataset([Question("q", "?", ("Oslo",))], {"a": "1,Oslo,Norway", "b": "Bergen"})
    found = answer_in_passage(dataset, asked(dataset), {"q": {"a": 1.0, "b": 0.5}})
    assert found["q"]["answer-in-passage@1"] == 1


def test_equal_scores_are_ordered_as_in_the_ranking_measures() -> None:
    dataset = _dataset([Question("q", "?", ("tent",))], {"a": "boat", "b": "tent"})
    found = answer_in_passage(dataset, asked(dataset), {"q": {"a": 1.0, "b": 1.0}})
    assert found["q"]["answer-in-passage@1"] == 1
