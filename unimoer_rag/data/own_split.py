"""A user's own documents and questions as data sets to train on and to measure by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from unimoer_rag.data.datasets import BeirDataset, Question
from unimoer_rag.data.lines import malformed
from unimoer_rag.data.own_questions import Asked, Places, literal, plain, read_questions
from unimoer_rag.data.own_set import Split, own_passages
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.retrieval import Passage, Problem

__all__ = ["OwnData", "OwnReport", "own_datasets"]

_HELD_OUT = 0.1


@dataclass(frozen=True, slots=True)
class OwnReport:
    """What was made of a folder and its questions.

    Attributes:
        documents: files or rows read.
        passages: they were cut into.
        questions: in the file.
        train: questions to train on.
        dev: questions held out.
        unreadable: documents that could not be read, and why.
        not_found: questions left out as their passage was not found, by line of the file.
    """

    documents: int
    passages: int
    questions: int
    train: int
    dev: int
    unreadable: tuple[Problem, ...]
    not_found: tuple[Problem, ...]


class OwnData(NamedTuple):
    """Two data sets over the same passages, and how they came about."""

    train: BeirDataset
    dev: BeirDataset
    report: OwnReport


def own_datasets(
    folder: Path,
    questions: Path,
    *,
    split: Split,
    name: str = "own",
    held_out: float = _HELD_OUT,
    but_not: Path | None = None,
) -> OwnData:
    """Make data sets of a folder of documents and a file of questions.

    Args:
        folder: documents, of any kind that indexing reads; see `retrieval.sources.scan`.
        questions: a JSONL or CSV file; see `read_questions`. Where it lies in the
            folder, it is no document.
        split: cuts a document into passages: `retrieval.chunking.Chunker(...).split`.
        name: of the data sets.
        held_out: share of the questions that the development set gets, at least one of them. Which
            ones is decided by their words alone, so a question that is asked twice is on one side,
            and adding questions moves few.
        but_not: a folder whose files are no documents: that of the run, where it lies in `folder`.

    Raises:
        ReadError: nothing at `folder` can be read.
        DataError: the questions are malformed, or fewer than two have a passage.
        InputError: `held_out` is not between 0 and 1.
    """
    if not 0 < held_out < 1:
        raise InputError(f"held_out is {held_out}: expected a share between 0 and 1, such as 0.1")
    asked = list(read_questions(questions))
    for line, item in asked:
        if not item.answers and not item.passage:
            raise malformed(
                questions, line, "neither answer nor passage", "one of them, to find the text"
            )
    read = own_passages(
        folder, split=split, but_not=[questions, *([] if but_not is None else [but_not])]
    )
    corpus = read.corpus
    places = Places(corpus)
    placed: dict[str, _Placed] = {}
    missing: list[Problem] = []
    for line, item in asked:
        if ids := places.of(item):
            placed[f"{name}-{line}"] = _place(f"{name}-{line}", item, ids, corpus)
        else:
            missing.append(places.missing(item, questions, line))
    held = _held_out((p.question.text for p in placed.values()), held_out)
    if not held:
        said = f" For example: {missing[0].reason}" if missing else ""
        raise DataError(
            f"only {len(placed)} of {len(asked)} questions, counting none twice, have a passage in "
            f"{folder}; expected two at least, one of them to measure by.{said}"
        )
    kept = read.as_documents()

    def part(which: str, *, dev: bool) -> BeirDataset:
        chosen = [p for p in placed.values() if (plain(p.question.text) in held) == dev]
        return BeirDataset(
            name=name,
            split=which,
            corpus=kept,
            questions=[p.question for p in chosen],
            qrels={p.question.id: p.grades for p in chosen},
        )

    train, measured = part("train", dev=False), part("dev", dev=True)
    report = OwnReport(
        documents=read.documents,
        passages=len(corpus),
        questions=len(asked),
        train=len(train.questions),
        dev=len(measured.questions),
        unreadable=read.unreadable,
        not_found=tuple(missing),
    )
    return OwnData(train, measured, report)


class _Placed(NamedTuple):
    """A question and the grades of its passages, the best one first."""

    question: Question
    grades: dict[str, int]


def _place(qid: str, item: Asked, ids: Sequence[str], corpus: Mapping[str, Passage]) -> _Placed:
    # First as the passage words it: a reader learns where exactly it stands.
    spoken = [said for a in item.answers if (said := literal(a, corpus[ids[0]].text))]
    question = Question(
        id=qid,
        text=item.question,
        answers=tuple(dict.fromkeys([*spoken, *item.answers])) or None,
        context=ids[0] if spoken else None,
    )
    return _Placed(question, dict.fromkeys(ids, 1))


def _held_out(questions: Iterable[str], share: float) -> set[str]:
    """The questions, by `plain`, that are held out; none where there are not two to part."""
    texts = sorted(
        set(map(plain, questions)),
        key=lambda text: hashlib.sha256(text.encode(errors="surrogatepass")).digest(),
    )
    return set(texts[: min(max(1, round(share * len(texts))), len(texts) - 1)])
