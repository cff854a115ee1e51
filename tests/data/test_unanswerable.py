"""Questions made unanswerable: what each way must change, and what it must leave."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.data import find_spans
from unimoer_rag.data.unanswerable import break_question, cut_answer, sentences

TEXT = (
    "The bridge was opened in 1932 by Jack Lang. It is the tallest steel arch bridge in the "
    "world, and carries rail and road traffic. Dorman Long of Middlesbrough built the bridge. "
    "The design was influenced by the Hell Gate Bridge in New York City."
)
ARTICLE = [TEXT, "The tower of London Bridge opened in 1894, and Henry Barry designed it."]
prose = st.text(alphabet="ab C.?!\"') 12\n", max_size=120)


@given(prose)
def test_sentences_cover_the_text(text: str) -> None:
    spans = sentences(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert spans[0][0] == 0
    assert all(start < end for start, end in spans) or not text


def test_sentences_end_at_punctuation() -> None:
    text = 'He said "no." Then he left! Was it 3.5 km? Yes.'
    pieces = [text[start:end].strip() for start, end in sentences(text)]
    assert pieces == ['He said "no."', "Then he left!", "Was it 3.5 km?", "Yes."]


@pytest.mark.parametrize("answer", ["1932", "Jack Lang", "Dorman Long", "steel arch"])
def test_cut_answer_removes_the_answer_and_keeps_whole_sentences(answer: str) -> None:
    rest = cut_answer(TEXT, find_spans([answer], TEXT))
    assert rest is not None
    assert answer not in rest
    whole = [TEXT[start:end].strip() for start, end in sentences(TEXT)]
    assert [rest[start:end].strip() for start, end in sentences(rest)] == [
        sentence for sentence in whole if answer not in sentence
    ]


def test_cut_answer_gives_up_when_little_is_left() -> None:
    text = "It opened in 1932. It is tall."
    assert cut_answer(text, find_spans(["1932"], text)) is None


QUESTIONS = [
    "When was the bridge opened by Jack Lang?",
    "What is the tallest bridge in the world?",
    "Who built it before 1932?",
    "Which city can you see?",
    "Why did the first team win?",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_break_question_changes_the_question_and_nothing_more(question: str) -> None:
    for seed in range(20):
        broken = break_question(question, ARTICLE, random.Random(seed))
        assert broken is not None
        assert broken != question
        # One place changed: what stands before and after is the same.
        left = next(i for i, (a, b) in enumerate(zip(question, broken, strict=False)) if a != b)
        assert broken.endswith("?")
        assert broken[:left] == question[:left]
        assert broken == break_question(question, ARTICLE, random.Random(seed))


def test_break_question_swaps_for_something_of_the_article() -> None:
    asked = "Who drew it in 1932?"
    broken = {break_question(asked, ARTICLE, random.Random(seed)) for seed in range(30)}
    assert broken == {"Who drew it in 1894?"}


def test_break_question_ways_by_hand() -> None:
    def ways(question: str) -> set[str | None]:
        return {break_question(question, [], random.Random(seed)) for seed in range(40)}

    assert ways("Which tower is the tallest?") == {
        "Which tower isn't the tallest?",
        "Which tower is not the tallest?",
    }
    assert ways("What can it hold?") == {"What can not it hold?"}
    assert ways("Name the largest lake.") == {"Name the smallest lake."}


def test_break_question_says_when_no_way_applies() -> None:
    assert break_question("Which one?", ["nothing here"], random.Random(0)) is None
