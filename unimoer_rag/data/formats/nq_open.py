"""NQ-open's `NQ-open.dev.jsonl`: `{"question", "answer": [...]}` on every line.

Lee et al., "Latent Retrieval for Weakly Supervised Open Domain Question Answering" (2019). Rows
have no ids: the number of the line is one.
"""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.data.datasets import Question
from unimoer_rag.data.formats.question_set import QuestionSet, accepted
from unimoer_rag.data.lines import json_rows, malformed, row_question, shown

__all__ = ["read_nq_open"]


def read_nq_open(path: Path) -> QuestionSet:
    """Read the file.

    Raises:
        DataError: a line is malformed.
    """
    questions = []
    for number, row in json_rows(path):
        answers = row.get("answer")
        answers = [answers] if isinstance(answers, str) else answers
        if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
            raise malformed(path, number, f"answer {shown(answers)}", "a list of strings")
        text = row_question(row, path, number, key="question")
        questions.append(Question(str(number), text, accepted(answers)))
    return QuestionSet(questions)
