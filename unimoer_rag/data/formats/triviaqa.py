"""TriviaQA's official JSON: `{"Data": [{"QuestionId", "Question", "Answer": {...}}]}`.

Joshi et al., "TriviaQA: A Large Scale Distantly Supervised Challenge Dataset for Reading
Comprehension" (2017). Accepted is what their script accepts, the normalised aliases and the
answers of humans, and the value and the aliases as they are written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unimoer_rag.data.datasets import Question
from unimoer_rag.data.formats.json_items import json_items, wrong_item
from unimoer_rag.data.formats.question_set import QuestionSet, accepted
from unimoer_rag.data.lines import shown
from unimoer_rag.errors import DataError

__all__ = ["read_triviaqa"]

_LISTS = ("Aliases", "NormalizedAliases", "HumanAnswers")


def read_triviaqa(path: Path) -> QuestionSet:
    """Read the file. A question that several pages answer stands there for each: once is kept.

    Raises:
        DataError: an item is malformed or has no answer, as in the test sets.
    """
    questions: dict[str, Question] = {}
    for number, item in json_items(path, "Data.item"):
        qid, text = item.get("QuestionId"), item.get("Question")
        if not isinstance(qid, str) or not qid or not isinstance(text, str) or not text.strip():
            found = f"QuestionId {shown(qid)} and Question {shown(text)}"
            raise wrong_item(path, number, found, "two strings")
        questions[qid] = Question(qid, text, _answers(item.get("Answer"), path, number))
    return QuestionSet(list(questions.values()))


def _answers(answer: Any, path: Path, number: int) -> tuple[str, ...]:
    if answer is None:
        raise DataError(
            f"{path}, item {number}: no Answer, as in TriviaQA's test sets: give a file with "
            "answers, such as a dev set"
        )
    if not isinstance(answer, dict) or not isinstance(answer.get("Value"), str):
        raise wrong_item(path, number, f"Answer {shown(answer)}", "an object with a Value")
    found = [answer["Value"]]
    for key in _LISTS:
        strings = answer.get(key, [])
        if not isinstance(strings, list) or not all(isinstance(s, str) for s in strings):
            raise wrong_item(path, number, f"{key} {shown(strings)}", "a list of strings")
        found += strings
    return accepted(found)
