"""Data sets in the BEIR layout.

A folder holds, plain or gzipped:

| file | lines |
|---|---|
| `corpus.jsonl` | `{"_id", "title"?, "text"}` |
| `queries.SPLIT.jsonl`, or one `queries.jsonl` | `{"_id", "text", "answers"?, "context"?}` |
| `qrels/SPLIT.tsv` | `query-id`, `corpus-id`, `score`, with or without that header |

Columns of judgements are parted by tabs and by nothing else; quotes are part of an id. As BEIR does
by default, what a question finds is measured without the document that has the question's own id:
in ArguAna and Quora the questions are documents.

`answers` and `context` are this project's additions: gold answer strings (an empty list means that
the corpus holds no answer) and the id of the passage to read. Standard BEIR folders lack both.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from unimoer_rag.data.answer_rules import AnswerRules
from unimoer_rag.data.beir_rows import (
    TOP_GRADE,
    Qrels,
    Question,
    read_qrels,
    read_questions,
    relevance_level,
)
from unimoer_rag.data.corpora import Passages, beir_passages, open_corpus, read_corpus
from unimoer_rag.data.lines import find_file
from unimoer_rag.data.samples import Sample, drawn, sampled
from unimoer_rag.data.tables import Files, as_files
from unimoer_rag.data.trec_runs import Run, load_run
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Document

__all__ = [
    "TOP_GRADE",
    "BeirDataset",
    "Qrels",
    "Question",
    "Run",
    "check_limit",
    "load_beir",
    "load_limited",
    "load_run",
    "read_beir",
]

_N_EXAMPLES = 3  # named in a message about many ids


@dataclass(frozen=True)
class BeirDataset:
    """One split of a data set.

    Attributes:
        name: the folder's name.
        split: which questions these are.
        corpus: document id -> document; a document's `source` is its id. A large one is on disk
            (`DiskCorpus`): go through its `values()`, do not list them.
        questions: in the order of the file.
        qrels: judgements, for the questions that have any.
        relevance_level: lowest grade that counts as relevant. 1, or 2 where grades reach 3, as on
            the TREC Deep Learning tracks (0 irrelevant, 1 related, 2 highly relevant, 3 perfect).
        answer_rules: whose official script compares its answers.
        ignore_identical_ids: questions and documents share their ids, and a question's own document
            is left out of what it finds: BEIR's rule, and its name for it. Set for data in BEIR's
            layout, unless a question is judged to find the document of its id, which then is
            another thing of the same number.
        excluded: question id -> other documents left out of what it finds, as BRIGHT's
            `excluded_ids` are.
    """

    name: str
    split: str
    corpus: Mapping[str, Document] = field(repr=False)
    questions: list[Question] = field(repr=False)
    qrels: Qrels = field(repr=False)
    relevance_level: int = 1
    answer_rules: AnswerRules = "squad"
    ignore_identical_ids: bool = False
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)

    @property
    def own_documents(self) -> frozenset[str]:
        """Questions whose id is a document's too, where that document is left out of their runs."""
        if not self.ignore_identical_ids:
            return frozenset()
        return frozenset(q.id for q in self.questions if q.id in self.corpus)

    @property
    def most_left_out(self) -> int:
        """How many documents at most are left out of what one question finds."""
        most = max((len(self.excluded.get(q.id, ())) for q in self.questions), default=0)
        return most + bool(self.own_documents)

    def left_out(self, qid: str) -> frozenset[str]:
        """The documents that are left out of what a question finds: its own, and the excluded."""
        own = frozenset((qid,)) if self.ignore_identical_ids else frozenset()
        return own | self.excluded.get(qid, frozenset())

    def without_own(self, qid: str, found: Mapping[str, float]) -> dict[str, float]:
        """Scores of documents without those that are left out of what a question finds.

        Args:
            qid: a question's id.
            found: document id -> score.
        """
        out = self.left_out(qid)
        return {doc_id: score for doc_id, score in found.items() if doc_id not in out}

    @property
    def golds(self) -> dict[str, tuple[str, ...]]:
        """Question id -> accepted answers, for the questions whose answers are known."""
        return {q.id: q.answers for q in self.questions if q.answers is not None}

    @property
    def n_judged_outside(self) -> int:
        """Judged documents that the corpus does not hold.

        Not an error: a reranking pool keeps the judgements of the whole collection, and recall
        counts them.
        """
        return sum(doc_id not in self.corpus for doc_id in _judged(self.qrels))

    def content(self, doc_id: str) -> str:
        """A document as the model sees it: the title, where there is one, then the text."""
        return self.corpus[doc_id].content

    def limit(self, n: int, seed: int = 0) -> BeirDataset:
        """Keep `n` questions drawn at random, in file order, over the same corpus.

        The same seed draws the same questions, and a smaller `n` draws a subset of a larger one.

        Raises:
            InputError: `n` is below 1.
        """
        check_limit(n)
        if n >= len(self.questions):
            return self
        questions = drawn(self.questions, n, seed)
        qrels = {q.id: self.qrels[q.id] for q in questions if q.id in self.qrels}
        return replace(self, questions=questions, qrels=qrels)


def check_limit(n: int) -> None:
    """Raise unless so many questions can be kept.

    Raises:
        InputError: `n` is below 1.
    """
    if n < 1:
        raise InputError(f"cannot keep {n} questions: give a limit of 1 or more, or none")


def load_beir(
    folder: str | Path,
    split: str | None = None,
    *,
    passages: Passages = beir_passages,
    ignore_identical_ids: bool | None = None,
    sample: Sample | None = None,
    cache: Path | None = None,
    on_progress: Progress = silent,
) -> BeirDataset:
    """Read one split of a data set in the BEIR layout.

    With `queries.SPLIT.jsonl` every question of that file counts, judged or not. With a
    `queries.jsonl` shared by all splits, the questions are those that the split judges.

    Args:
        folder: of the data set.
        split: which questions; by default `test`, or the only split there is.
        passages: reads the corpus; `joined_passages` joins titles as BEIR does.
        ignore_identical_ids: see `BeirDataset`; by default as the judgements tell.
        sample: keep only so much of it.
        cache: where a large corpus is kept to be read from disk, see `open_corpus`.
        on_progress: told of what takes long, see `open_corpus`.

    Raises:
        DataError: the folder, a file or the split is missing, a line is malformed, the corpus or
            the questions are empty, or judgements name questions or contexts that do not exist.

    Example:
        >>> dataset = load_beir("../shared/data/nq", "dev")  # doctest: +SKIP
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"no data set folder at {str(folder)!r}: name a folder in the BEIR layout")
    _check_layout(folder)
    split = split or _default_split(folder)
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
    return read_beir(
        name=folder.resolve().name,
        split=split,
        corpus_path=corpus_path,
        questions_path=questions_path,
        qrels_path=qrels_path,
        passages=passages,
        all_questions=own_questions is not None,
        ignore_identical_ids=ignore_identical_ids,
        sample=sample,
        cache=cache,
        on_progress=on_progress,
    )


def load_limited(
    folders: Iterable[str | Path], split: str | None = None, *, limit: int | None, seed: int
) -> list[BeirDataset]:
    """Several data sets by `load_beir`, with at most `limit` questions each; None for all."""
    loaded = [load_beir(folder, split) for folder in folders]
    return [dataset if limit is None else dataset.limit(limit, seed) for dataset in loaded]


def read_beir(
    *,
    name: str,
    split: str,
    corpus_path: Files,
    questions_path: Files,
    qrels_path: Files,
    passages: Passages = beir_passages,
    all_questions: bool = False,
    ignore_identical_ids: bool | None = None,
    sample: Sample | None = None,
    only: Collection[str] | None = None,
    cache: Path | None = None,
    on_progress: Progress = silent,
) -> BeirDataset:
    """`load_beir` for files that need not lie in one folder.

    Args:
        name: of the data set.
        split: which questions these are.
        corpus_path: its `corpus.jsonl`, or the parts of another table of passages.
        questions_path: its `queries.jsonl`; see `read_questions`.
        qrels_path: the split's judgements; see `read_qrels`.
        passages: reads the corpus.
        all_questions: keep those without judgements.
        ignore_identical_ids: see `BeirDataset`; by default as the judgements tell.
        sample: see `load_beir`.
        only: keep these passages and the judged ones alone, in memory.
        cache: see `load_beir`.
        on_progress: see `load_beir`.

    Raises:
        DataError: see `load_beir`.
        MissingExtraError: a file is Parquet, and pyarrow is not installed.
    """
    qrels = read_qrels(qrels_path)
    questions = read_questions(questions_path)
    qrels_file, questions_file, corpus_file = (
        as_files(files)[0] for files in (qrels_path, questions_path, corpus_path)
    )
    _check_known(
        qrels,
        {q.id for q in questions},
        f"{qrels_file} judges questions that {questions_file.name} does not hold",
    )
    if not all_questions:
        questions = [q for q in questions if q.id in qrels]
    if not questions:
        raise DataError(f"{questions_file} holds no questions for the split {split!r}")
    corpus: Mapping[str, Document]
    if only is not None:
        wanted = {*only, *_judged(qrels)}
        part = sampled(passages, wanted=wanted, others=0, on_progress=on_progress)
        corpus = read_corpus(corpus_path, part)
    elif sample is None:
        corpus = open_corpus(corpus_path, passages, cache=cache, on_progress=on_progress)
    else:
        questions = drawn(questions, sample.questions)
        qrels = {q.id: qrels[q.id] for q in questions if q.id in qrels}
        wanted = _judged(qrels) | {q.context for q in questions if q.context is not None}
        part = sampled(passages, wanted=wanted, others=sample.others, on_progress=on_progress)
        corpus = read_corpus(corpus_path, part)
    _check_known(
        dict.fromkeys(q.context for q in questions if q.context is not None),
        corpus,
        f"{questions_file} names contexts that {corpus_file.name} does not hold",
    )
    judged = _judged(qrels)
    if judged and not any(doc_id in corpus for doc_id in judged):
        # Some strangers are a pool cut from a collection; only strangers are another corpus.
        _check_known(
            sorted(judged),
            corpus,
            f"{qrels_file} judges only documents that {corpus_file.name} does not hold",
        )
    if ignore_identical_ids is None:
        ignore_identical_ids = not any(grades.get(qid, 0) > 0 for qid, grades in qrels.items())
    return BeirDataset(
        name=name,
        split=split,
        corpus=corpus,
        questions=questions,
        qrels=qrels,
        relevance_level=relevance_level(qrels),
        ignore_identical_ids=ignore_identical_ids,
    )


def _judged(qrels: Qrels) -> set[str]:
    return {doc_id for grades in qrels.values() for doc_id in grades}


def _check_known(named: Collection[str], known: Container[str], problem: str) -> None:
    unknown = [name for name in named if name not in known]
    if unknown:
        shown = ", ".join(map(repr, unknown[:_N_EXAMPLES]))
        raise DataError(f"{problem}: {len(unknown)} of {len(named)}, for example {shown}")


def _check_layout(folder: Path) -> None:
    """A folder of something else is told what a data set is, not which split it lacks."""
    if find_file(folder, "corpus.jsonl") is None and not _splits(folder):
        raise DataError(
            f"{str(folder)!r} is no data set: expected corpus.jsonl, queries.jsonl and "
            "qrels/SPLIT.tsv (BEIR's layout); a folder of documents is measured by questions on "
            "them with --own FOLDER --questions FILE"
        )


def _default_split(folder: Path) -> str:
    splits = _splits(folder)
    if "test" in splits or not splits:
        return "test"
    if len(splits) > 1:
        raise DataError(
            f"{str(folder)!r} has no split 'test' but {', '.join(splits)}: say which, "
            f"as in --split {splits[0]}"
        )
    return splits[0]


def _splits(folder: Path) -> list[str]:
    return sorted({path.name.split(".tsv")[0] for path in folder.glob("qrels/*.tsv*")})
