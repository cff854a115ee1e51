"""Questions read out of a language model's reply, whole or broken."""

from __future__ import annotations

import pytest

from unimoer_rag.evaluation.drafting.replies import read_reply

PASSAGE = "Order records are kept for 7 years. The officer is\nHelena Marsh. Fees: £3.50 a day."
KEPT = ("How long are order records kept?", "7 years")
WHO = ("Who is the officer?", "Helena\nMarsh")
ONE = '{"question": "How long are order records kept?", "answer": "7 years"}'
TWO = '{"question": "Who is the officer", "answer": "helena marsh."}'


@pytest.mark.parametrize(
    "reply",
    [
        f"[{ONE}, {TWO}]",
        f"Here you are:\n```json\n[{ONE},\n{TWO},\n]\n```\nGood luck!",
        f"{ONE}\n{TWO}",
        f'{{"questions": [{ONE}, {TWO}]}}',
        f'[{ONE}, {TWO}, {{"question": "How much is the f',
        f"[{ONE}, {TWO.replace('question', 'Q').replace('answer', 'A')}]",
        "Q: How long are order records kept?\nA: 7 years\n\n2. Question: Who is the officer?\n"
        "Answer: Helena Marsh\n",
    ],
)
def test_whatever_holds_questions_is_read(reply: str) -> None:
    passage = PASSAGE.replace("is\nHelena Marsh", "is Helena\nMarsh")
    found = read_reply(reply, passage)
    assert found.asked == [KEPT, WHO]
    assert not found.dropped


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('[{"question": "Is it kept long?", "answer": "yes"}]', "does not stand in the passage"),
        ('[{"question": "What does the passage say?", "answer": "7 years"}]', "speaks of"),
        ('[{"question": "Why are 7 years kept?", "answer": "7 years"}]', "tells the answer"),
        ('[{"question": "Fees?", "answer": "£3.50"}]', "no question"),
        ('[{"question": "Is this a question?", "answer": "..."}]', "does not stand"),
        ("I cannot do that.", "could be read"),
        ('{"question": 7, "answer": null}', "could be read"),
        ("{" * 5000, "could be read"),
        ('{"question":' * 3000, "could be read"),
    ],
)
def test_what_cannot_be_used_is_counted(reply: str, reason: str) -> None:
    found = read_reply(reply, PASSAGE)
    assert found.asked == []
    assert sum(found.dropped.values()) == 1
    assert reason in next(iter(found.dropped))


def test_a_question_comes_once_and_numbers_are_words() -> None:
    assert read_reply(f"[{ONE}, {ONE.lower()}]", PASSAGE).asked == [KEPT]
    reply = '{"question": "What is the fee each day?", "answer": [3.50, "x"]}'
    assert read_reply(reply, "The fee is 3.5 pounds.").asked == [
        ("What is the fee each day?", "3.5")
    ]
