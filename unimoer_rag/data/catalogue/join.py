"""What one file says about the questions or passages of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from unimoer_rag.data.datasets import BeirDataset, Qrels
from unimoer_rag.data.formats import QUESTIONS, find_format
from unimoer_rag.errors import DataError

__all__ = ["judged_by_title", "with_answers"]


def with_answers(dataset: BeirDataset, path: Path) -> BeirDataset:
    """The data set with the answers that an official file gives to the same questions.

    Questions are the same when their words are, whatever their case, spaces and question marks.
    One that the file lacks stays without known answers.

    Raises:
        DataError: the file is malformed, or has none of these questions.
    """
    kind = find_format(path)
    if kind not in QUESTIONS:
        raise DataError(f"{path} holds {kind}: expected questions with answers")
    answers = {_words(q.text): q.answers for q in QUESTIONS[kind](path).questions}
    questions = [replace(q, answers=answers.get(_words(q.text))) for q in dataset.questions]
    if all(q.answers is None for q in questions):
        raise DataError(
            f"{path} answers none of the {len(questions)} questions of {dataset.name} "
            f"{dataset.split}: it belongs to another data set or split"
        )
    return replace(dataset, questions=questions)


def judged_by_title(dataset: BeirDataset, titles: Mapping[str, tuple[str, ...]]) -> BeirDataset:
    """The data set with the passages of the named articles as the relevant ones.

    Only where every article is one passage: where it is cut into several, its title does not say
    which of them was meant, and nothing is judged.

    Args:
        dataset: without judgements.
        titles: question id -> titles of articles. One that the corpus lacks counts as a relevant
            passage outside it.
    """
    wanted = {title for named in titles.values() for title in named}
    if not wanted:
        return dataset
    ids: dict[str, str] = {}
    for document in dataset.corpus.values():
        if document.title in wanted and ids.setdefault(document.title, document.source) != (
            document.source
        ):
            return dataset
    qrels: Qrels = {
        qid: {ids.get(title, title): 1 for title in named} for qid, named in titles.items()
    }
    return replace(dataset, qrels=qrels)


def _words(text: str) -> str:
    return " ".join(text.casefold().replace("?", " ").split())
