"""Retrieval and reranking measured: a first stage, and the same rescored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.data import BeirDataset, Question, Run, ranked
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.passages import answer_in_passage
from unimoer_rag.evaluation.ranking import per_query
from unimoer_rag.evaluation.summary import PerQuestion
from unimoer_rag.evaluation.systems.types import Rescorer, System
from unimoer_rag.evaluation.timing import Timings
from unimoer_rag.progress import Progress
from unimoer_rag.retrieval import Hit, UnifiedRetriever, best_first

__all__ = [
    "Stages",
    "asked",
    "known_run",
    "measure_ranking",
    "others_than_own",
    "rerank_run",
    "search_run",
]

# Deep enough for recall@100.
_RETRIEVED = 100
# Questions under way at once: enough to fill batches, few enough to report progress.
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Stages:
    """Both stages, and their measures by question.

    Attributes:
        first: what the first stage found.
        second: the same reranked; empty where nothing was.
        retrieval: measures of the first stage.
        rerank: of the second.
        skipped: questions whose results `AutoRerank` left in the first stage's order.
    """

    first: Run = field(default_factory=dict)
    second: Run = field(default_factory=dict)
    retrieval: PerQuestion = field(default_factory=dict)
    rerank: PerQuestion = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()


def asked(dataset: BeirDataset) -> list[Question]:
    """The questions that a ranking is measured by: the judged ones.

    Where nothing is judged, as over the whole of Wikipedia, those with an answer: whether it
    stands in a passage can be seen.
    """
    judged = [q for q in dataset.questions if q.id in dataset.qrels]
    return judged or [q for q in dataset.questions if q.answers]


def measure_ranking(
    system: System,
    dataset: BeirDataset,
    source: UnifiedRetriever | Run,
    *,
    depth: int,
    rerank: bool,
    skips: Callable[[Sequence[Hit]], bool] = lambda hits: False,
    n_timed: int,
    timings: Timings,
    on_progress: Progress,
) -> Stages:
    """Measure a first stage and, where asked, its reranking.

    Args:
        system: ranks.
        dataset: with judgements, or with answers.
        source: the first stage: what searches the corpus, or a run.
        depth: how many results are reranked; a run is rescored whole.
        rerank: measure the second stage too.
        skips: says of a search's results whether they are left as they are.
        n_timed: single calls timed.
        timings: takes the times of `search` and `rerank`.
        on_progress: called with the stage, what is done of it and its size.

    Raises:
        DataError: a run without any of these questions, or with documents the corpus lacks.
    """
    questions = asked(dataset)
    skipped: set[str] = set()
    if isinstance(source, dict):
        first = known_run(source, dataset, questions)
        depth = max(map(len, first.values()))
    else:
        with timings.run("search", len(questions)):

            def note(question: Question, hits: Sequence[Hit]) -> None:
                if hits and skips(hits):
                    skipped.add(question.id)

            n = max(_RETRIEVED, depth)
            first = search_run(source, dataset, questions, n, on_progress, on_found=note)
        searches = [partial(source.search, q.text, rerank=0) for q in questions[:n_timed]]
        timings.time("search", searches, before=system.forget)
    retrieval = _measure(dataset, questions, first)
    if not rerank:
        return Stages(first, retrieval=retrieval)
    found = [q for q in questions if first.get(q.id)]
    uncertain = [q for q in questions if q.id not in skipped]
    with timings.run("rerank", len(found)):
        second = rerank_run(system, dataset, uncertain, first, depth, on_progress)
    second |= {qid: first[qid] for qid in skipped}

    def alone(question: Question) -> None:
        if question.id in skipped:
            return
        top = ranked(first[question.id])[:depth]
        system.rank([question.text], [[dataset.content(document) for document in top]])

    singly = [partial(alone, question) for question in found[:n_timed]]
    timings.time("rerank", singly, before=system.forget)
    reranked = _measure(dataset, questions, second)
    return Stages(first, second, retrieval, reranked, frozenset(skipped))


def others_than_own(dataset: BeirDataset, question: Question, hits: Sequence[Hit]) -> list[Hit]:
    """Hits without those that are left out for the question; see `BeirDataset.left_out`."""
    out = dataset.left_out(question.id)
    return [hit for hit in hits if hit.source not in out]


def search_run(
    retriever: UnifiedRetriever,
    dataset: BeirDataset,
    questions: Sequence[Question],
    n: int,
    on_progress: Progress,
    *,
    on_found: Callable[[Question, Sequence[Hit]], None] = lambda question, hits: None,
) -> Run:
    """The first `n` results of each question, with their scores, without what is left out.

    Args:
        retriever: finds.
        dataset: whose corpus is searched.
        questions: what is looked for.
        n: results of each.
        on_progress: called with what is done and how much there is.
        on_found: called with each question and its results.
    """
    run: Run = {}
    # So many more that n are left, whatever places those take that are left out.
    k = n + dataset.most_left_out
    for at in range(0, len(questions), _BLOCK):
        block = questions[at : at + _BLOCK]
        found = retriever.search_batch([q.text for q in block], k=k, rerank=0)
        for question, hits in zip(block, found, strict=True):
            others = others_than_own(dataset, question, hits)[:n]
            _check_finite(question, [hit.score for hit in others])
            run[question.id] = {hit.source: hit.score for hit in others}
            on_found(question, others)
        on_progress("searching", at + len(block), len(questions))
    return run


def _measure(dataset: BeirDataset, questions: Sequence[Question], run: Run) -> PerQuestion:
    """The ranking measures, and where the questions have answers, whether they were found."""
    judged: PerQuestion = {}
    if dataset.qrels:
        judged = per_query(dataset.qrels, run, relevance_level=dataset.relevance_level)
    answered = answer_in_passage(dataset, questions, run)
    return {q.id: {**judged.get(q.id, {}), **answered.get(q.id, {})} for q in questions}


def known_run(run: Run, dataset: BeirDataset, judged: Sequence[Question]) -> Run:
    """The run's part about these questions, each without what is left out for it.

    All other documents must be in the corpus.

    Raises:
        DataError: it has none of these questions, or documents that the corpus lacks.
    """
    part = {q.id: run[q.id] for q in judged if run.get(q.id)}
    part = {qid: left for qid, found in part.items() if (left := dataset.without_own(qid, found))}
    if not part:
        raise DataError(
            f"the run ranks none of the {len(judged)} judged questions of {dataset.name!r} "
            f"{dataset.split} (it has {next(iter(run), None)!r}, they have {judged[0].id!r}): give "
            "the run that belongs to this split"
        )
    missing = next((d for docs in part.values() for d in docs if d not in dataset.corpus), None)
    if missing is not None:
        raise DataError(
            f"the run ranks the document {missing!r}, which the corpus of {dataset.name!r} does "
            "not hold: give the run that belongs to this data set"
        )
    return part


def rerank_run(
    system: Rescorer,
    dataset: BeirDataset,
    questions: Sequence[Question],
    first: Run,
    depth: int,
    on_progress: Progress,
) -> Run:
    """The first `depth` of each ranking by the system's scores, above the rest as they were."""
    run: Run = {}
    for at in range(0, len(questions), _BLOCK):
        block = [q for q in questions[at : at + _BLOCK] if first.get(q.id)]
        ordered = [ranked(first[q.id]) for q in block]
        texts = [[dataset.content(document) for document in ids[:depth]] for ids in ordered]
        scored = system.rank([q.text for q in block], texts)
        for question, ids, scores in zip(block, ordered, scored, strict=True):
            _check_finite(question, scores)
            run[question.id] = _reordered(ids, scores)
        on_progress("reranking", min(at + _BLOCK, len(questions)), len(questions))
    return run


def _check_finite(question: Question, scores: Sequence[float] | NDArray[np.float32]) -> None:
    """Scores that are no numbers are told with the first block, not after the last one."""
    if not np.isfinite(scores).all():
        raise DataError(
            f"question {question.id!r}: a score is no finite number, so nothing can be ordered by "
            "it: look at the weights and the precision (dtype) of what is measured"
        )


def _reordered(ids: Sequence[str], scores: NDArray[np.float32]) -> dict[str, float]:
    """Scores of all `ids`: the first by `scores`, above the others as they were.

    Equal scores are parted by the smallest step, or the measures would order them by name where a
    search keeps the first stage's order.
    """
    order = [ids[at] for at in best_first(scores)]
    falling = np.sort(scores.astype(np.float32))[::-1]
    run: dict[str, float] = {}
    last = np.float32(np.inf)
    for document, score in zip(order, falling, strict=True):
        last = min(score, np.nextafter(last, np.float32(-np.inf)))
        run[document] = float(last)
    floor = float(last)
    return run | {d: floor - n for n, d in enumerate(ids[len(scores) :], start=1)}
