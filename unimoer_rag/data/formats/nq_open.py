"""NQ-open's `NQ-open.dev.jsonl`: `{"question", "answer": [...]}` on every line.

Lee et al., "Latent Retrieval for Weakly Supervised Open Domain Question Answering" (2019). Rows
have no ids: the number of the line is one.
"""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.data.datasets import Question
from unimoer_rag.data.file_rows import json_rows
from unimoer_rag.data.formats.question_set import QuestionSet, accepted

__all__ = ["read_nq_open"]


def read_nq_open(path: Path) -> QuestionSet:
    """Read the file.

    Raises:
        DataError: a line is malformed.
    """
    questions = []
    for row in json_rows(path):
        answer = row.fields.get("answer")
        answers = accepted([answer] if isinstance(answer, str) else row.strings("answer"))
        questions.append(Question(str(row.number), row.question("question"), answers))
    return QuestionSet(questions)
