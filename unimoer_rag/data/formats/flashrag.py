"""FlashRAG's files, JSON on every line.

Questions: `{"id", "question", "golden_answers": [...]}`. Passages: `{"id", "contents"}`, which is
the title in quotes, a line end and the text.

Jin et al., "FlashRAG: A Modular Toolkit for Efficient Retrieval-Augmented Generation Research"
(2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unimoer_rag.data.datasets import Question
from unimoer_rag.data.formats.question_set import QuestionSet, accepted
from unimoer_rag.data.lines import (
    json_rows,
    row_id,
    row_question,
    row_strings,
    row_text,
)
from unimoer_rag.retrieval import Document

__all__ = ["flashrag_passages", "read_flashrag"]


def read_flashrag(path: Path) -> QuestionSet:
    """Read the file; its metadata is left alone.

    Raises:
        DataError: a line is malformed.
    """
    questions: dict[str, Question] = {}
    for number, row in json_rows(path):
        qid = row_id(row, path, number, key="id", taken=questions)
        answers = row_strings(row, path, number, key="golden_answers")
        text = row_question(row, path, number, key="question")
        questions[qid] = Question(qid, text, accepted(answers))
    return QuestionSet(list(questions.values()))


def flashrag_passages(path: Path) -> Iterator[tuple[int, Document]]:
    """Passages of a FlashRAG corpus; contents of a single line have no title."""
    for number, row in json_rows(path):
        contents = row_text(row, path, number, key="contents")
        title, end, text = contents.partition("\n")
        if not end:
            title, text = "", contents
        title = title.removeprefix('"').removesuffix('"')
        doc_id = row_id(row, path, number, key="id")
        yield number, Document(text=text, source=doc_id, title=title)
