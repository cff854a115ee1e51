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
from unimoer_rag.data.file_rows import json_rows
from unimoer_rag.data.formats.question_set import QuestionSet, accepted
from unimoer_rag.retrieval import Document

__all__ = ["flashrag_passages", "read_flashrag"]


def read_flashrag(path: Path) -> QuestionSet:
    """Read the file; its metadata is left alone.

    Raises:
        DataError: a line is malformed.
    """
    questions: dict[str, Question] = {}
    for row in json_rows(path):
        qid = row.id("id", taken=questions)
        answers = accepted(row.strings("golden_answers"))
        questions[qid] = Question(qid, row.question("question"), answers)
    return QuestionSet(list(questions.values()))


def flashrag_passages(path: Path) -> Iterator[tuple[int, Document]]:
    """Passages of a FlashRAG corpus; contents of a single line have no title."""
    for row in json_rows(path):
        contents = row.text("contents")
        title, end, text = contents.partition("\n")
        if not end:
            title, text = "", contents
        title = title.removeprefix('"').removesuffix('"')
        yield row.number, Document(text=text, source=row.id("id"), title=title)
