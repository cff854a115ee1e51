"""NQ-open's `NQ-open.dev.jsonl`: `{"question", "answer": [...]}` on every line.

Lee et al., "Latent Retrieval for Weakly Supervised Open Domain Question Answering" (2019). Rows
have no ids: the number of the line is one.
"""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.data.datasets import Question
from unimoer_rag.data.formats.question_set import QuestionSet, accepted
from unimoer_rag.data.lines import json_rows, row_question, row_strings

__all__ = ["read_nq_open"]


def read_nq_open(path: Path) -> QuestionSet:
    """Read the file.

    Raises:
        DataError: a line is malformed.
    """
    questions = []
    for number, row in json_rows(path):
        if isinstance(row.get("answer"), str):
            row["answer"] = [row["answer"]]
        answers = row_strings(row, path, number, key="answer")
        text = row_question(row, path, number, key="question")
        questions.append(Question(str(number), text, accepted(answers)))
    return QuestionSet(questions)
