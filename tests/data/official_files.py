"""Tiny files in the official formats, written by hand after the formats' descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NQ_OPEN = [
    {"question": "when do refunds come", "answer": ["14 days", "two weeks"]},
    {"question": "who rents tents", "answer": ["The shop"]},
]

TRIVIAQA = {
    "Data": [
        {
            "Answer": {
                "Aliases": ["Sunset Blvd", "Sunset Bvd."],
                "MatchedWikiEntityName": "Sunset Boulevard",
                "NormalizedAliases": ["sunset blvd", "sunset bvd"],
                "NormalizedValue": "sunset boulevard",
                "Type": "WikipediaEntity",
                "Value": "Sunset Boulevard",
            },
            "EntityPages": [],
            "Question": "Which musical opened in 1993?",
            "QuestionId": "tc_1",
            "QuestionSource": "http://www.triviacountry.com/",
            "SearchResults": [{"Rank": 0, "Title": "x"}],
        },
        {
            "Answer": {
                "Aliases": ["Campbell-Bannerman"],
                "HumanAnswers": ["Sir Henry"],
                "NormalizedAliases": ["campbell bannerman"],
                "NormalizedValue": "campbell bannerman",
                "Type": "WikipediaEntity",
                "Value": "Campbell-Bannerman",
            },
            "Question": "Who was PM in 1907?",
            "QuestionId": "tc_2",
        },
    ],
    "Domain": "Web",
    "Split": "dev",
    "VerifiedEval": False,
    "Version": 1.0,
}

HOTPOTQA: list[dict[str, Any]] = [
    {
        "_id": "5a8b57f2",
        "answer": "yes",
        "question": "Were Scott and Ed of the same nationality?",
        "supporting_facts": [["Scott", 0], ["Ed", 0], ["Scott", 1]],
        "context": [
            ["Ed", ["Ed made films.", " He was American."]],
            ["Scott", ["Scott is American.", " He directs."]],
            ["Woodson", ["Woodson is a town."]],
        ],
        "type": "comparison",
        "level": "hard",
    },
    {
        "_id": "5a8c7595",
        "answer": "Chief of Protocol",
        "question": "What office did the woman of Woodson hold?",
        "supporting_facts": [["Shirley", 1], ["Woodson", 0]],
        "context": [
            ["Woodson", ["Woodson is another town."]],
            ["Shirley", ["Shirley acted.", " She was Chief of Protocol."]],
            ["Ed", ["Ed made films.", " He was American."]],
        ],
        "type": "bridge",
        "level": "hard",
    },
]

FLASHRAG = [
    {"id": "test_0", "question": "when do refunds come", "golden_answers": ["14 days"]},
    {
        "id": "test_1",
        "question": "who rents tents",
        "golden_answers": ["the shop", "the shop"],
        "metadata": {"type": "bridge"},
    },
]

FLASHRAG_CORPUS = [
    {"id": "0", "contents": '"Refunds"\nRefunds come in 14 days.\nNot on Sundays.'},
    {"id": "1", "contents": "Tents are for rent."},
]

DPR = (
    "id\ttext\ttitle\n"
    '1\t"Aaron ( or ; ""Ahärôn"") is a prophet."\tAaron\n'
    '2\tRefunds come in 14 days.\t"""Refunds"""\n'
    "3\tThe shop rents tents.\tTents\n"
)

BEIR_CORPUS = [
    {"_id": "12", "title": "Ed", "text": "Ed made films."},
    {"_id": "13", "title": "Scott", "text": "Scott is American."},
    {"_id": "14", "title": "Shirley", "text": "She was Chief of Protocol."},
    {"_id": "15", "title": "Woodson", "text": "A town."},
]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(path: Path, content: str | list[Any] | dict[str, Any]) -> Path:
    """A file of text, or of a JSON value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path
