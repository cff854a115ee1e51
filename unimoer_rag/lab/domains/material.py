"""Which questions of a domain are held out, and what is learnt from the others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from unimoer_rag.data import BeirDataset, Question, pseudo_questions

__all__ = ["SETS", "SIZES", "material", "parted"]

SETS = ("obliqa", "covidqa", "bioasq", "stackexchange")
"""Data sets of a domain each."""

SIZES = ("all", "100", "300", "1000", "none")
"""Questions that are learnt from; "none" has sentences of the passages in their place."""


def parted(dataset: BeirDataset) -> tuple[list[Question], list[Question]]:
    """A fifth of the judged questions, and the others; by their words, so that none is in both."""

    def place(question: Question) -> str:
        return hashlib.sha256(question.text.lower().encode()).hexdigest()

    judged = sorted((q for q in dataset.questions if q.id in dataset.qrels), key=place)
    at = len(judged) // 5
    while 0 < at < len(judged) and place(judged[at - 1]) == place(judged[at]):
        at += 1
    return judged[:at], judged[at:]


def material(dataset: BeirDataset, others: Sequence[Question], size: str) -> BeirDataset:
    """What is learnt from.

    Args:
        dataset: the domain.
        others: the questions that are not held out.
        size: one of `SIZES`, or another number.
    """
    if size == "none":
        return pseudo_questions(dataset.name, dataset.corpus)
    kept = list(others) if size == "all" else list(others)[: int(size)]
    return replace(dataset, questions=kept, qrels={q.id: dataset.qrels[q.id] for q in kept})
