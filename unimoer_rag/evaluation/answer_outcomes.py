"""What a pipeline answers with every confidence it has, to questions with an answer and without.

Questions without an answer are those that the user gave, and others made of the rest: each is asked
once more of the index without the document that answers it. What is found then is about the same
things, which is what a threshold has to stand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.evaluation.answers import f1
from unimoer_rag.generation import ExtractiveReader
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Hit, Mode, UnifiedRetriever

__all__ = ["Kind", "Outcome", "answer_outcomes"]

Kind = Literal["answerable", "given", "made"]
"""Of a question: it has an answer, it was given as one without, or its document was left out."""

_SAME = 0.5  # F1 from which on another document gives the answer, too


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question.

    Attributes:
        question: its id.
        kind: whether there was an answer to find.
        confidence: of the best answer, below 0 where none was found.
        f1: of that answer with the accepted ones, 0 to 1; 0 where there is none to accept.
        scores: of the passages read, best first.
        relevant: the best of them that a relevant passage has; None where none was read.
    """

    question: str
    kind: Kind
    confidence: float
    f1: float
    scores: tuple[float, ...]
    relevant: float | None = None

    @property
    def answerable(self) -> bool:
        """Whether there was an answer to find."""
        return self.kind == "answerable"


def answer_outcomes(
    retriever: UnifiedRetriever,
    dataset: BeirDataset,
    document_of: Mapping[str, str],
    *,
    mode: Mode = "dense",
    depth: int = 50,
    n_read: int = 5,
    on_progress: Progress = silent,
) -> tuple[list[Outcome], int]:
    """Ask a data set's questions, and those with an answer once more without their document.

    Args:
        retriever: over the data set's corpus, each passage whole.
        dataset: with answers.
        document_of: passage id -> the document that it was cut from.
        mode: first stage.
        depth: of its results that are reranked.
        n_read: passages read.
        on_progress: called with what is done, how much of it and its size.

    Returns:
        The outcomes, and how many questions were not asked again since another document answers
        them too.
    """
    reader = ExtractiveReader(retriever.engine, threshold=0.0)
    passages_of: dict[str, int] = {}
    for document in document_of.values():
        passages_of[document] = passages_of.get(document, 0) + 1
    outcomes: list[Outcome] = []
    elsewhere = 0
    asked = [question for question in dataset.questions if question.answers is not None]
    for done, question in zip(count(1), asked, strict=False):
        relevant = dataset.qrels.get(question.id, {})
        hits = retriever.search(question.text, k=n_read, rerank=depth, mode=mode)
        kind: Kind = "answerable" if question.answers else "given"
        outcomes.append(_outcome(reader, question, hits, kind, relevant))
        if question.answers and relevant:
            without = {document_of[i] for i in relevant if i in document_of}
            deeper = depth + sum(passages_of[document] for document in without)
            found = retriever.search(question.text, k=deeper, rerank=0, mode=mode)
            others = [hit for hit in found if document_of[hit.source] not in without][:depth]
            again = retriever.rank_hits(question.text, others)[:n_read] if others else []
            made = _outcome(reader, question, again, "made", ())
            if made.f1 >= _SAME:
                elsewhere += 1
            else:
                outcomes.append(made)
        on_progress("answering", done, len(asked))
    return outcomes, elsewhere


def _outcome(
    reader: ExtractiveReader,
    question: Question,
    hits: Sequence[Hit],
    kind: Kind,
    relevant: Collection[str],
) -> Outcome:
    read = reader.read(question.text, hits)
    best = read[0] if read else None
    return Outcome(
        question=question.id,
        kind=kind,
        confidence=-1.0 if best is None else best.confidence or 0.0,
        f1=f1(best.text, question.answers) if best and question.answers else 0.0,
        scores=tuple(hit.score for hit in hits),
        relevant=max((hit.score for hit in hits if hit.source in relevant), default=None),
    )
