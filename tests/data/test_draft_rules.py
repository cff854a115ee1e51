"""Sentences turned into questions: what is asked, what answers, what is left alone."""

from __future__ import annotations

import pytest

from unimoer_rag.data.drafts.rules import ask


def question(sentence: str, *names: str) -> tuple[str, tuple[str, ...]] | None:
    fact = ask(sentence, is_name=lambda word, following: word in names)
    return None if fact is None else (fact.question, fact.answers)


@pytest.mark.parametrize(
    ("sentence", "asked", "answers"),
    [
        ("A wetsuit costs £8 more.", "How much more does a wetsuit cost?", ["£8"]),
        (
            "A single kayak costs £35 for a half day and £55 for a full day.",
            "How much does a single kayak cost for a half day?",
            ["£35"],
        ),
        (
            "The deposit is £100 for each boat.",
            "How much is the deposit for each boat?",
            ["£100"],
        ),
        ("The Rill Pump weighs 310 grams.", "How much does the Rill Pump weigh?", ["310 grams"]),
        (
            "Order records are kept for 7 years, because tax law requires it.",
            "How long are order records kept?",
            ["7 years", "for 7 years"],
        ),
        (
            "A fitting takes about 40 minutes and should be booked on the website.",
            "How long does a fitting take?",
            ["about 40 minutes"],
        ),
        (
            "Unused items can be returned within 60 days of delivery.",
            "Within how many days of delivery can unused items be returned?",
            ["60 days", "within 60 days"],
        ),
        (
            "Staff take privacy training every 12 months.",
            "How often do staff take privacy training?",
            ["every 12 months"],
        ),
        (
            "Salaries are paid on the 25th of each month.",
            "When are salaries paid?",
            ["the 25th of each month", "on the 25th of each month"],
        ),
        ("The last boat goes out at 3 pm.", "When does the last boat go out?", ["3 pm", "at 3 pm"]),
        (
            "The fleet has 24 single kayaks and 10 tandems.",
            "How many single kayaks does the fleet have?",
            ["24 single kayaks", "24"],
        ),
        (
            "The data protection officer is Helena Marsh.",
            "Who is the data protection officer?",
            ["Helena Marsh"],
        ),
        ("The base is run by Tamsin Keogh.", "Who is the base run by?", ["Tamsin Keogh"]),
        (
            "Open positions are listed on the careers page.",
            "Where are open positions listed?",
            ["the careers page", "on the careers page"],
        ),
        (
            "The extreme temperature is a survival figure, and no trip should be planned on it.",
            "What is the extreme temperature?",
            ["a survival figure"],
        ),
    ],
)
def test_a_fact_is_asked_for(sentence: str, asked: str, answers: list[str]) -> None:
    assert question(sentence) == (asked, tuple(answers))
    assert all(answer in sentence for answer in answers)


def test_a_name_keeps_its_capital() -> None:
    sentence = "Fernway gives 1 percent of its sales to the Path Fund."
    assert question(sentence, "Fernway") == (
        "How much of its sales does Fernway give to the Path Fund?",
        ("1 percent",),
    )
    first = question("Custom insoles cost £55 and take 45 minutes to make.")
    assert first == ("How much do custom insoles cost?", ("£55",))


@pytest.mark.parametrize(
    "sentence",
    [
        "It takes 3 weeks.",  # of whom another sentence speaks
        "In December they are paid on the 20th.",
        "Unused leave is not paid out within 3 weeks.",
        "Nobody pays £8 for a badge.",
        "The store is open at 9 am, except on Sundays.",
        "Accounts that have a balance are kept for 3 years.",
        "All stores are closed on 25 December, 26 December and 1 January.",  # more than one
        "Sick pay",
        "The staff portal is slow.",
        "Everything was fine and nothing happened.",
        "A limit: it costs £8 a day.",
        "12",
        "",
    ],
)
def test_what_is_not_safe_is_left_alone(sentence: str) -> None:
    assert question(sentence) is None
