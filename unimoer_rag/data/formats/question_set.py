"""What a file of questions holds, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unimoer_rag.data.datasets import Qrels, Question
from unimoer_rag.retrieval import Document

__all__ = ["QuestionSet", "accepted"]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions with their answers, and the passages that came with them.

    Attributes:
        questions: in the order of the file.
        passages: what the file itself gives to read, by id; empty where it gives none.
        qrels: judgements of those passages.
        titles: question id -> the articles that the answer needs, where the file names them.
    """

    questions: list[Question]
    passages: Mapping[str, Document] = field(default_factory=dict)
    qrels: Qrels = field(default_factory=dict)
    titles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def accepted(answers: list[str]) -> tuple[str, ...]:
    """Answers without repetitions and empty ones, in their order."""
    return tuple(dict.fromkeys(answer for answer in answers if answer.strip()))
