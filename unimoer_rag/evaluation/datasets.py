"""Data sets in the BEIR layout, and runs in the TREC format.

A folder holds, plain or gzipped:

| file | lines |
|---|---|
| `corpus.jsonl` | `{"_id", "title"?, "text"}` |
| `queries.SPLIT.jsonl`, or one `queries.jsonl` | `{"_id", "text", "answers"?, "context"?}` |
| `qrels/SPLIT.tsv` | `query-id`, `corpus-id`, `score`, with or without that header |

`answers` and `context` are this project's additions: gold answer strings (an empty list means that
the corpus holds no answer) and the id of the passage to read. Standard BEIR folders lack both.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.lines import find_file, json_rows, malformed, numbered_lines
from unimoer_rag.retrieval.types import Document

__all__ = ["BeirDataset", "Qrels", "Question", "Run", "load_beir", "load_run"]

Qrels = dict[str, dict[str, int]]
"""Question id -> document id -> grade."""

Run = dict[str, dict[str, float]]
"""Question id -> document id -> score, higher is better."""

_N_EXAMPLES = 3  # named in a message about many ids


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a data set.

    Attributes:
        id: its id, as the judgements name it.
        text: what is asked.
        answers: accepted answers; empty when there is none to find; None when nobody recorded any.
        context: id of the passage the answers were written from, or None.
    """

    id: str
    text: str
    answers: tuple[str, ...] | None = None
    context: str | None = None


@dataclass(frozen=True)
class BeirDataset:
    """One split of a data set.

    Attributes:
        name: the folder's name.
        split: which questions these are.
        corpus: document id -> document; a document's `source` is its id.
        questions: in the order of the file.
        qrels: judgements, for the questions that have any.
        relevance_level: lowest grade that counts as relevant. 1, or 2 where grades reach 3, as on
            the TREC Deep Learning tracks (0 irrelevant, 1 related, 2 highly relevant, 3 perfect).
        n_judged_outside: judged documents that the corpus does not hold. Not an error: a reranking
            pool keeps the judgements of the whole collection, and recall counts them.
    """

    name: str
    split: str
    corpus: Mapping[str, Document] = field(repr=False)
    questions: list[Question] = field(repr=False)
    qrels: Qrels = field(repr=False)
    relevance_level: int = 1
    n_judged_outside: int = 0

    @property
    def golds(self) -> dict[str, tuple[str, ...]]:
        """Question id -> accepted answers, for the questions whose answers are known."""
        return {q.id: q.answers for q in self.questions if q.answers is not None}

    def content(self, doc_id: str) -> str:
        """A document as the model sees it: the title, where there is one, then the text."""
        return self.corpus[doc_id].content

    def limit(self, n: int, seed: int = 0) -> BeirDataset:
        """Keep `n` questions drawn at random, in file order, over the same corpus.

        The same seed draws the same questions, and a smaller `n` draws a subset of a larger one.

        Raises:
            InputError: `n` is below 1.
        """
        if n < 1:
            raise InputError(f"cannot keep {n} questions: give a limit of 1 or more, or none")
        if n >= len(self.questions):
            return self
        order = list(range(len(self.questions)))
        random.Random(seed).shuffle(order)
        questions = [self.questions[i] for i in sorted(order[:n])]
        qrels = {q.id: self.qrels[q.id] for q in questions if q.id in self.qrels}
        return replace(self, questions=questions, qrels=qrels)


def load_beir(folder: str | Path, split: str) -> BeirDataset:
    """Read one split of a data set in the BEIR layout.

    With `queries.SPLIT.jsonl` every question of that file counts, judged or not. With a
    `queries.jsonl` shared by all splits, the questions are those that the split judges.

    Raises:
        DataError: the folder, a file or the split is missing, a line is malformed, the corpus or
            the questions are empty, or judgements name questions or contexts that do not exist.

    Example:
        >>> dataset = load_beir("../shared/data/nq", "dev")  # doctest: +SKIP
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"no data set folder at {str(folder)!r}: name a folder in the BEIR layout")
    qrels_path = find_file(folder / "qrels", f"{split}.tsv")
    if qrels_path is None:
        splits = ", ".join(_splits(folder)) or "none"
        raise DataError(
            f"{str(folder)!r} has no split {split!r} (no qrels/{split}.tsv); splits there: {splits}"
        )
    own_questions = find_file(folder, f"queries.{split}.jsonl")
    questions_path = own_questions or find_file(folder, "queries.jsonl")
    corpus_path = find_file(folder, "corpus.jsonl")
    if questions_path is None or corpus_path is None:
        wanted = "corpus.jsonl" if corpus_path is None else f"queries.{split}.jsonl"
        raise DataError(f"{str(folder)!r} has no {wanted} (nor {wanted}.gz)")

    corpus = _read_corpus(corpus_path)
    qrels = _read_qrels(qrels_path)
    questions = _read_questions(questions_path)
    _check_known(
        qrels,
        {q.id for q in questions},
        f"{qrels_path} judges questions that {questions_path.name} does not hold",
    )
    if own_questions is None:
        questions = [q for q in questions if q.id in qrels]
    if not questions:
        raise DataError(f"{questions_path} holds no questions for the split {split!r}")
    _check_known(
        dict.fromkeys(q.context for q in questions if q.context is not None),
        corpus,
        f"{questions_path} names contexts that {corpus_path.name} does not hold",
    )
    judged = {doc_id for grades in qrels.values() for doc_id in grades}
    outside = judged - corpus.keys()
    if judged and outside == judged:
        # Some strangers are a pool cut from a collection; only strangers are another corpus.
        _check_known(
            sorted(judged),
            corpus,
            f"{qrels_path} judges only documents that {corpus_path.name} does not hold",
        )
    top = max((grade for grades in qrels.values() for grade in grades.values()), default=1)
    return BeirDataset(
        name=folder.resolve().name,
        split=split,
        corpus=corpus,
        questions=questions,
        qrels=qrels,
        relevance_level=2 if top >= 3 else 1,
        n_judged_outside=len(outside),
    )


def load_run(path: str | Path) -> Run:
    """Read a run in the TREC format: `question Q0 document rank score tag`, plain or gzipped.

    As in trec_eval the score orders the documents, and the rank column is ignored.

    Raises:
        DataError: the file is missing or empty, a line is malformed, or a document comes twice.
    """
    path = Path(path)
    run: Run = {}
    for number, line in numbered_lines(path):
        columns = line.split()
        if len(columns) != 6:
            raise malformed(
                path,
                number,
                f"{len(columns)} columns",
                "the six of a TREC run: question, Q0, document, rank, score, tag",
            )
        qid, _, doc_id, _, score_text, _ = columns
        try:
            score = float(score_text)
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise malformed(path, number, f"the score {score_text!r}", "a finite number")
        scores = run.setdefault(qid, {})
        if doc_id in scores:
            raise malformed(
                path, number, f"document {doc_id!r} again for question {qid!r}", "each pair once"
            )
        scores[doc_id] = score
    if not run:
        raise DataError(f"{path} is empty: expected a TREC run")
    return run


def _read_corpus(path: Path) -> dict[str, Document]:
    corpus: dict[str, Document] = {}
    for number, row in json_rows(path):
        doc_id = _id(row, path, number, corpus)
        title = row.get("title") or ""
        if not isinstance(title, str):
            raise malformed(path, number, f"a title of type {type(title).__name__}", "a string")
        corpus[doc_id] = Document(text=_text(row, path, number), source=doc_id, title=title)
    if not corpus:
        raise DataError(f"{path} is empty: expected one JSON document a line")
    return corpus


def _read_questions(path: Path) -> list[Question]:
    questions: dict[str, Question] = {}
    for number, row in json_rows(path):
        qid = _id(row, path, number, questions)
        text = _text(row, path, number)
        if not text.strip():
            raise malformed(path, number, f"an empty text for question {qid!r}", "a question")
        answers, context = row.get("answers"), row.get("context")
        if answers is not None and not (
            isinstance(answers, list) and all(isinstance(a, str) for a in answers)
        ):
            raise malformed(path, number, f"answers {answers!r}", "a list of strings")
        if context is not None and not isinstance(context, str):
            raise malformed(path, number, f"context {context!r}", "a document's id")
        known = tuple(answers) if answers is not None else None
        questions[qid] = Question(id=qid, text=text, answers=known, context=context)
    return list(questions.values())


def _read_qrels(path: Path) -> Qrels:
    qrels: Qrels = {}
    for number, line in numbered_lines(path):
        columns = line.split("\t")
        if number == 1 and columns[0] == "query-id":
            continue
        if len(columns) != 3:
            raise malformed(
                path,
                number,
                f"{len(columns)} tab-separated columns",
                "three: query-id, corpus-id, score",
            )
        qid, doc_id, grade_text = columns
        try:
            grade = int(grade_text)
        except ValueError:
            raise malformed(path, number, f"the grade {grade_text!r}", "an integer") from None
        if qrels.setdefault(qid, {}).setdefault(doc_id, grade) != grade:
            raise malformed(
                path, number, f"a second grade for ({qid!r}, {doc_id!r})", "one grade a pair"
            )
    return qrels


def _id(row: dict[str, Any], path: Path, number: int, taken: Container[str]) -> str:
    value = row.get("_id")
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise malformed(path, number, f"_id {value!r}", "a non-empty string")
    if str(value) in taken:
        raise malformed(path, number, f"_id {value!r} a second time", "unique ids")
    return str(value)


def _text(row: dict[str, Any], path: Path, number: int) -> str:
    value = row.get("text")
    if not isinstance(value, str):
        raise malformed(path, number, f"text {value!r}", "a string")
    return value


def _check_known(named: Collection[str], known: Container[str], problem: str) -> None:
    unknown = [name for name in named if name not in known]
    if unknown:
        shown = ", ".join(map(repr, unknown[:_N_EXAMPLES]))
        raise DataError(f"{problem}: {len(unknown)} of {len(named)}, for example {shown}")


def _splits(folder: Path) -> list[str]:
    return sorted({path.name.split(".tsv")[0] for path in folder.glob("qrels/*.tsv*")})
