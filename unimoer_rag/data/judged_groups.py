"""Training examples from data sets in the BEIR layout."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from unimoer_rag.data.by_place import ByPlace
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.data.examples import Group, TrainingSet
from unimoer_rag.errors import DataError
from unimoer_rag.retrieval import Document

__all__ = ["beir_set"]


def beir_set(dataset: BeirDataset) -> TrainingSet:
    """Every question with its passages, without negatives: those are mined.

    The texts are the whole corpus, read as they are asked for. The positive is the first passage
    of the highest grade; all that have a grade above 0, for this question or one of the same
    words, are never negatives.

    Raises:
        DataError: no question has a relevant passage in the corpus.
    """
    ids = list(dataset.corpus)
    place = {document: at for at, document in enumerate(ids)}
    positive: dict[str, int] = {}
    relevant: dict[str, set[int]] = defaultdict(set)
    for question in dataset.questions:
        grades = dataset.qrels.get(question.id, {})
        found = {place[d]: grade for d, grade in grades.items() if grade > 0 and d in place}
        relevant[question.text.lower()].update(found)
        best = max(found, key=lambda at: found[at], default=None)
        if best is not None and found[best] >= dataset.relevance_level:
            positive[question.id] = best
    groups = [
        Group(
            query=question.text,
            positive=positive[question.id],
            relevant=tuple(sorted(relevant[question.text.lower()])),
            negatives=(),
            answers=question.answers or (),
        )
        for question in dataset.questions
        if question.id in positive
    ]
    if not groups:
        raise DataError(
            f"{dataset.name}: none of {len(dataset.questions)} questions has a relevant passage in "
            "the corpus; expected qrels of the corpus's own ids"
        )
    return TrainingSet(dataset.name, _Contents(dataset.corpus, ids), groups)


class _Contents(ByPlace[str]):
    """Documents as the model sees them, by position."""

    def __init__(self, corpus: Mapping[str, Document], ids: Sequence[str]) -> None:
        self._corpus, self._ids = corpus, ids

    def __len__(self) -> int:
        return len(self._ids)

    def at(self, place: int) -> str:
        """A document's content."""
        return self._corpus[self._ids[place]].content
