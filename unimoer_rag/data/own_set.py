"""A user's own documents and questions as a data set to measure by.

The documents are cut into passages as an index cuts them. Of a question that names what answers it,
those passages are relevant that hold the answer, in the document that is named where one is:

| the question has | relevant are |
|---|---|
| an answer or a passage that stands in a document | the passages of one document that hold it |
| a document alone, or an answer in other words than the document's | all passages of it |
| an answer that stands nowhere | nothing is judged; the answer is |
| an empty list of answers | nothing: it has no answer, and to abstain is right |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from unimoer_rag.data.datasets import BeirDataset, Qrels, Question
from unimoer_rag.data.own_questions import Asked, Places, read_questions
from unimoer_rag.errors import DataError
from unimoer_rag.retrieval import Document, Passage, Problem, scan
from unimoer_rag.wording import counted

__all__ = ["OwnPassages", "OwnSet", "Split", "own_dataset", "own_passages"]

Split = Callable[[Document], Sequence[Passage]]
"""Cuts a document into passages: `retrieval.chunking.Chunker(...).split`."""


class OwnPassages(NamedTuple):
    """The passages of a folder.

    Attributes:
        documents: files or rows read.
        corpus: id -> passage.
        unreadable: documents that could not be read, and why.
    """

    documents: int
    corpus: dict[str, Passage]
    unreadable: tuple[Problem, ...]

    def as_documents(self) -> dict[str, Document]:
        """The passages as the documents of a data set, each under its id."""
        return {i: Document(p.text, i, p.title, p.metadata) for i, p in self.corpus.items()}


@dataclass(frozen=True, slots=True)
class OwnSet:
    """What was made of a folder and its questions.

    Attributes:
        dataset: to measure by.
        documents: files or rows read.
        by_source: questions whose document is known, but not which of its passages answers.
        unreadable: documents that could not be read, and why.
        not_found: questions without a passage, by line of the file, and why.
        document_of: id of a passage -> the document that it was cut from.
    """

    dataset: BeirDataset
    documents: int
    by_source: int
    unreadable: tuple[Problem, ...]
    not_found: tuple[Problem, ...]
    document_of: Mapping[str, str]

    def __str__(self) -> str:
        """In a line, for people."""
        found = self.dataset
        without = sum(not answers for answers in found.golds.values())
        told = (
            f"{counted(len(found.corpus), 'passage')} of {counted(self.documents, 'document')}; "
            f"{counted(len(found.questions), 'question')}: {len(found.qrels)} with relevant "
            f"passages ({self.by_source} of them by their document alone), {without} without an "
            "answer"
        )
        problems = (*self.unreadable, *self.not_found)
        return "\n".join([told, *map(str, problems)])


def own_passages(folder: Path, *, split: Split, but_not: Collection[Path] = ()) -> OwnPassages:
    """Read the documents of a folder and cut them.

    Args:
        folder: documents, of any kind that indexing reads; see `retrieval.sources.scan`.
        split: cuts a document.
        but_not: files and folders in it that are no documents.

    Raises:
        ReadError: nothing at `folder` can be read.
        DataError: there are no passages.
    """
    found = scan(folder)
    left_out = {path.resolve() for path in but_not}
    others = tuple(
        (source, path)
        for source, path in found.files
        if left_out.isdisjoint([path.resolve(), *path.resolve().parents])
    )
    unreadable: list[Problem] = []
    documents = list(replace(found, files=others).documents(on_error=unreadable.append))
    corpus = {p.id: p for document in documents for p in split(document)}
    if not corpus:
        raise DataError(f"no passages in {folder}: expected documents with text in them")
    return OwnPassages(len(documents), corpus, tuple(unreadable))


def own_dataset(folder: Path, questions: Path, *, split: Split, name: str | None = None) -> OwnSet:
    """Make a data set of a folder of documents and a file of questions.

    Args:
        folder: documents; see `own_passages`.
        questions: a JSONL or CSV file; see `read_questions`. Where it lies in the folder, it is no
            document.
        split: cuts a document into passages.
        name: of the data set; the folder's if none is given.

    Raises:
        ReadError: nothing at `folder` can be read.
        DataError: the questions are malformed, or none of them has an answer or a passage.
    """
    asked = list(read_questions(questions))
    passages = own_passages(folder, split=split, but_not=[questions])
    places = Places(passages.corpus)
    qrels: Qrels = {}
    missing: list[Problem] = []
    by_source = 0
    for line, item in asked:
        ids = places.of(item)
        if not ids and item.source:
            ids = places.named(item.source)
            by_source += bool(ids)
        if ids:
            qrels[str(line)] = dict.fromkeys(ids, 1)
        elif not item.unanswerable:
            missing.append(places.missing(item, questions, line))
    known = [_question(str(line), item) for line, item in asked]
    if not qrels and not any(q.answers is not None for q in known):
        raise DataError(
            f"none of the {len(asked)} questions in {questions} has a passage in {folder} or an "
            f"answer, so nothing can be measured by them. For example: {missing[0].reason}"
        )
    dataset = BeirDataset(
        name=name or folder.resolve().name,
        split="own",
        corpus=passages.as_documents(),
        questions=known,
        qrels=qrels,
    )
    return OwnSet(
        dataset=dataset,
        documents=passages.documents,
        by_source=by_source,
        unreadable=passages.unreadable,
        not_found=tuple(missing),
        document_of={i: passage.source for i, passage in passages.corpus.items()},
    )


def _question(qid: str, item: Asked) -> Question:
    known = item.answers or item.unanswerable
    return Question(qid, item.question, item.answers if known else None)
