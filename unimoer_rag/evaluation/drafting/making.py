"""Questions drafted from a folder of documents: drawn evenly, checked, counted."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from unimoer_rag.data import Draft, OwnPassages, by_rules, dealt, own_passages, plain, unique
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.drafting.asking import by_model
from unimoer_rag.evaluation.drafting.checking import Checker, checking
from unimoer_rag.generation import Writes
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Chunker, Problem
from unimoer_rag.wording import counted

__all__ = ["Doubtful", "Drafted", "make_questions"]

Doubtful = Literal["mark", "drop", "unchecked"]
"""What becomes of questions that something speaks against."""

_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Drafted:
    """Questions, and how they came about.

    Attributes:
        drafts: in an order in which any first part is spread evenly over the documents.
        documents: that were read.
        passages: they were cut into.
        doubtful: among the drafts, or dropped.
        dropped: reason -> how many of a language model's questions could not be used.
        unreadable: documents that could not be read, and why.
        reads: whether a reader checked the answers.
    """

    drafts: tuple[Draft, ...]
    documents: int
    passages: int
    doubtful: int
    dropped: Counter[str]
    unreadable: tuple[Problem, ...]
    reads: bool


def make_questions(
    folder: Path,
    model: UniMoER,
    *,
    count: int = 50,
    doubtful: Doubtful = "mark",
    writes: Writes | None = None,
    seed: int = 0,
    index: Path | None = None,
    but_not: Iterable[Path] = (),
    on_progress: Progress = silent,
) -> Drafted:
    """Draft questions on a folder of documents.

    Args:
        folder: documents, of any kind that indexing reads.
        model: cuts them, and looks whether passages are found and answers read.
        count: questions at most.
        doubtful: what becomes of those that it does not find or read.
        writes: a language model that writes them, made with the prompt `drafting.asking.PROMPT`;
            rules for English do if there is none.
        seed: of the draw; the same seed draws the same.
        index: folder that keeps the index of the check.
        but_not: files in `folder` that are no documents.
        on_progress: called with what is done, how much of it and its size.

    Raises:
        InputError: the count is no number of questions.
        ReadError: nothing at `folder` can be read.
        DataError: there is nothing to ask for, or nothing that stands the check.
        GenerationError: the language model cannot be asked.
    """
    if count < 1:
        raise InputError(f"count is {count}: expected how many questions to draft, 1 or more")
    read = own_passages(
        folder, split=Chunker(model.tokenizer.backend_tokenizer).split, but_not=list(but_not)
    )
    dropped: Counter[str] = Counter()
    candidates = _candidates(read, writes, seed, dropped)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "index" if index is None else index
        opened = (
            nullcontext(None)
            if doubtful == "unchecked"
            else checking(
                model, read.corpus, read.as_documents(), index=place, on_progress=on_progress
            )
        )
        with opened as checker:
            drafts, n_doubtful = _take(
                candidates, count, checker, drop=doubtful == "drop", on_progress=on_progress
            )
            reads = checker is not None and checker.reads
    if not drafts:
        raise DataError(_why_none(folder, read, writes, n_doubtful, dropped))
    return Drafted(
        tuple(drafts),
        read.documents,
        len(read.corpus),
        n_doubtful,
        dropped,
        read.unreadable,
        reads,
    )


def _candidates(
    read: OwnPassages, writes: Writes | None, seed: int, dropped: Counter[str]
) -> Iterator[Draft]:
    passages, rng = list(read.corpus.values()), random.Random(seed)
    if writes is None:
        found = unique(by_rules(passages))
        yield from dealt(found, rng, lambda draft: draft.source, lambda draft: draft.kind)
        return
    asked: set[str] = set()
    for drafts in by_model(writes, dealt(passages, rng, lambda p: p.source), dropped):
        for draft in drafts:
            if plain(draft.question) not in asked:
                asked.add(plain(draft.question))
                yield draft


def _take(
    candidates: Iterator[Draft],
    count: int,
    checker: Checker | None,
    *,
    drop: bool,
    on_progress: Progress,
) -> tuple[list[Draft], int]:
    """So many of them, and how many were doubtful."""
    taken: list[Draft] = []
    n_doubtful = 0
    while len(taken) < count and (
        block := list(islice(candidates, min(count - len(taken), _BLOCK)))
    ):
        if checker is not None:
            block = checker.doubts(block)
        n_doubtful += sum(bool(draft.doubts) for draft in block)
        taken += [draft for draft in block if not (drop and draft.doubts)]
        on_progress("drafting", len(taken), count)
    return taken, n_doubtful


def _why_none(
    folder: Path, read: OwnPassages, writes: Writes | None, n_doubtful: int, dropped: Counter[str]
) -> str:
    said = f"no question could be drafted from {folder} ({counted(len(read.corpus), 'passage')}): "
    if n_doubtful:
        return said + f"all of {n_doubtful} failed the check: leave --check out to look at them"
    if writes is None:
        return said + (
            "rules find facts in plain English sentences, and there are none: have a language "
            "model write them (--chat-url, --llm)"
        )
    reasons = ", ".join(f"{reason} ({n})" for reason, n in dropped.most_common())
    return said + (
        f"the language model's replies hold none that can be used: {reasons or 'nothing to ask'}; "
        "try a larger one"
    )
