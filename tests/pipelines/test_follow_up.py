"""Follow-ups become questions of their own, and what stands alone stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT

from unimoer_rag.pipelines.follow_up import stand_alone
from unimoer_rag.pipelines.history import Turn, read_history

DEPOSIT = Turn("How much is the deposit on a rented tent?", "£75")
BASE = Turn("Where is the kayak base?", "at Hollin Water")
LEADS = Turn("Who leads the repair workshop?", "Priya Nandakumar")
FILTER = Turn("Which filter lasts longer?", "The Rill Pump")
OPEN = Turn("Until what time is the Leeds store open on Thursdays?", "8 pm")
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    ("turn", "question", "expected"),
    [
        # pronouns and demonstratives
        (DEPOSIT, "When is it paid back?", "When is it paid back (deposit on a rented tent)?"),
        (DEPOSIT, "Is that refundable?", "Is that refundable (deposit on a rented tent)?"),
        (DEPOSIT, "What are these?", "What are these (deposit on a rented tent)?"),
        (BASE, "Who runs it?", "Who runs it (kayak base)?"),
        (BASE, "Can I park there?", "Can I park there (at Hollin Water)?"),
        (LEADS, "What is her number?", "What is her number (Priya Nandakumar)?"),
        (LEADS, "How many years has she led it?",
         "How many years has she led it (Priya Nandakumar)?"),
        (FILTER, "How heavy is it?", "How heavy is it (The Rill Pump, filter)?"),
        # fragments: by the same preposition or last word, a time for a time, a name for a name ...
        (OPEN, "And on Sundays?", "Until what time is the Leeds store open on Sundays?"),
        (OPEN, "What about Kendal?",
         "Until what time is the Kendal store open on Thursdays?"),
        (DEPOSIT, "and in winter?", "How much is the deposit on a rented tent in winter?"),
        (DEPOSIT, "what about kayaks?", "How much is the deposit on kayaks?"),
        (DEPOSIT, "And a six-person one?", "How much is the deposit on a six-person tent?"),
        (DEPOSIT, "For members?", "How much is the deposit on a rented tent for members?"),
        (Turn("Can I return boots?"), "And socks?", "Can I return socks?"),
        (Turn("Does a silk liner add warmth?"), "And a fleece liner?",
         "Does a fleece liner add warmth?"),
        (Turn("Can I cancel a trip 30 days before it starts?"), "What about 20 days before?",
         "Can I cancel a trip 20 days before it starts?"),
        # bare question words and comparisons
        (DEPOSIT, "why?", "why (deposit on a rented tent, £75)?"),
        (DEPOSIT, "How much?", "How much (deposit on a rented tent)?"),
        (FILTER, "Which is cheaper?", "Which is cheaper (The Rill Pump, filter)?"),
    ],
)  # fmt: skip
def test_what_follows_is_completed(turn: Turn, question: str, expected: str) -> None:
    assert stand_alone(question, [turn]) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Who is the head guide?",
        "And who is the head guide?",
        "If I lose my badge, when must I report it?",
        "How much does it cost to rent a tent?",
        "How long does it take for leather to dry?",
        "Is it true that gift cards expire?",
        "Is there a car park in Kendal?",
        "Do you know that Fernway has closed?",
        "What is the IT department's number?",
        "What is the tent that I rented made of?",
        "How much of its sales does Fernway give?",
        "Which club plays its matches in Leeds?",
        "Is the shop open this Sunday?",
        "May I bring my dog?",
        "How much rope?",
        "gift card validity",
        "Thanks!",
        "And?",
        "???",
        "",
    ],
)
def test_what_stands_alone_stays(question: str) -> None:
    assert stand_alone(question, [DEPOSIT]) == question


def test_a_follow_up_on_a_follow_up_knows_the_first() -> None:
    turns = [
        Turn("How long is a gift card valid?", "24 months"),
        Turn("What is the largest amount it can hold?", "£500"),
    ]
    assert "gift card" in stand_alone("Can they be exchanged?", turns)
    turns = [Turn("What does a jacket zip cost?", "£28"), Turn("And a patch?", "£9")]
    assert stand_alone("And a buckle?", turns) == "What does a buckle cost?"
    # What a pipeline has made of a question is not made anything of again.
    settled = Turn("When is it paid back (deposit on a tent)?", "in 3 days", settled=True)
    made = stand_alone("And on a kayak?", [DEPOSIT, settled])
    assert made == "When is it paid back (deposit on a kayak)?"


def _rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (EXAMPLES / name).read_text("utf-8").splitlines()]


def test_questions_of_other_kinds_stay() -> None:
    for row in _rows("handbook_questions.jsonl"):
        question = str(row["question"])
        assert stand_alone(question, [LEADS]) == question


def test_labelled_conversations() -> None:
    rows = _rows("handbook_conversations.jsonl")
    follows = [row for row in rows if row["question"] != row["standalone"]]
    changed = 0
    for row in rows:
        question = str(row["question"])
        made = stand_alone(question, read_history(row["history"], question))  # type: ignore[arg-type]
        if row not in follows:
            assert made == question
        changed += made != question
    assert (len(rows), len(follows), changed) == (60, 40, 34)


WORDS = (
    "it they there that what about and How much does she cost one ones on Sundays Leeds a tent "
    "(boots) ? . , before 20 days why its former This cheaper which is to for Ünï \u202e \ud800 \n"
)
words = st.sampled_from(WORDS.split(" "))
texts = st.lists(words, max_size=30).map(" ".join) | st.text(max_size=60)
turns = st.lists(st.builds(Turn, texts, st.none() | texts, st.booleans()), max_size=4)


@given(texts, turns)
def test_any_words_end_in_a_question(question: str, before: list[Turn]) -> None:
    made = stand_alone(question, before)
    assert made == question or made.endswith("?")
    assert made == stand_alone(question, before)
    said = " ".join([question, *(f"{turn.question} {turn.answer}" for turn in before)])
    added = set(made) - set(said)
    assert added <= set(" (),?") | {character.lower() for character in said}  # nothing made up
    if made != question:
        assert before
        assert len(made) <= len(question) + 2 * len(said) + 10


@given(texts)
def test_without_turns_every_question_stays(question: str) -> None:
    assert stand_alone(question, []) == question


@given(st.text(min_size=301, max_size=400), turns)
def test_long_questions_bring_what_they_are_about(question: str, before: list[Turn]) -> None:
    assert stand_alone(question, before) == question
    last = Turn(question, "Yes")
    assert stand_alone("Why is it?", [last]) == "Why is it?"
