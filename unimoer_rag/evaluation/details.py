"""What stands behind the means: ranks before and after, how scores lie, the worst questions.

Plain functions of a data set and of the runs of both stages. A run is question id -> document id
-> score, higher is better, as `evaluate` orders them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.data import BeirDataset, Question, ranked
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.passages import judged_relevant, relevant_among
from unimoer_rag.evaluation.result_parts import Details, Histogram, Passage, Ranks, Worst
from unimoer_rag.evaluation.summary import PerQuestion

__all__ = ["details", "found_relevant", "ranks", "score_histograms", "worst"]

_Run = Mapping[str, Mapping[str, float]]

_N_BINS = 24
_N_PASSAGES = 5  # shown of each of the worst questions
_N_MISSED = 3  # relevant ones shown beside them
_DIGITS = 5
_BEST = {"f1": 100.0, "nDCG@10": 1.0}


def details(
    dataset: BeirDataset,
    first: _Run,
    second: _Run,
    *,
    rows: Mapping[str, PerQuestion],
    depth: int,
    n_worst: int = 0,
    predictions: Mapping[str, str] | None = None,
    citations: Mapping[str, Sequence[str]] | None = None,
) -> Details:
    """All of it.

    Args:
        dataset: questions, passages, judgements.
        first: scores of the first stage.
        second: scores after reranking; empty where nothing was reranked.
        rows: the values of single questions, by part.
        depth: how many were reranked.
        n_worst: how many of the worst questions; they bring texts of the data set with them.
        predictions: question id -> answer, "" where it abstained.
        citations: question id -> ids of the documents that the answer cites.

    Raises:
        InputError: `n_worst` is negative.
    """
    relevant = found_relevant(dataset, first) if first else {}
    return Details(
        ranks=ranks(relevant, first, second),
        scores=score_histograms(relevant, first, second, depth=depth),
        worst=worst(
            dataset,
            first,
            second,
            rows=rows,
            n=n_worst,
            predictions=predictions,
            citations=citations,
            depth=depth,
        ),
    )


def found_relevant(dataset: BeirDataset, first: _Run) -> dict[str, set[str]]:
    """The relevant passages among those found, of every question that has one to find.

    Where nobody judged a question, passages that hold an accepted answer are relevant.

    Args:
        dataset: questions, judgements and answers.
        first: scores of the first stage; reranking finds no others.
    """
    return {
        question.id: relevant_among(dataset, question, first.get(question.id, ()))
        for question in dataset.questions
        if judged_relevant(dataset, question.id)
        or (question.id not in dataset.qrels and question.answers)
    }


def ranks(relevant: Mapping[str, Collection[str]], first: _Run, second: _Run) -> dict[str, Ranks]:
    """Rank of the first relevant passage before and after reranking.

    Args:
        relevant: question id -> its relevant passages, as `found_relevant` has them.
        first: scores of the first stage.
        second: scores after reranking; empty where nothing was reranked.

    Returns:
        By question id, counted from 1; None where none was found.
    """

    def rank(run: _Run, qid: str) -> int | None:
        order = enumerate(ranked(run.get(qid, {})), start=1)
        return next((at for at, doc_id in order if doc_id in relevant[qid]), None)

    return {qid: (rank(first, qid), rank(second, qid)) for qid in relevant}


def score_histograms(
    relevant: Mapping[str, Collection[str]], first: _Run, second: _Run, *, depth: int
) -> dict[str, Histogram]:
    """How the scores of relevant passages lie, and those of all others, at both stages.

    Args:
        relevant: question id -> its relevant passages, as `found_relevant` has them.
        first: scores of the first stage.
        second: scores after reranking.
        depth: how many were reranked: the best so many of a question have the reranker's scores.

    Returns:
        `first` and `second`, as far as there are scores, in bins of equal width.
    """
    reranked = {
        qid: {doc_id: scores[doc_id] for doc_id in ranked(scores)[:depth]}
        for qid, scores in second.items()
    }
    found = {}
    for stage, run in (("first", first), ("second", reranked)):
        lists: dict[bool, list[float]] = {True: [], False: []}
        for qid, of_question in relevant.items():
            for doc_id, score in run.get(qid, {}).items():
                lists[doc_id in of_question].append(score)
        if lists[True] or lists[False]:
            found[stage] = _histogram(np.asarray(lists[True]), np.asarray(lists[False]))
    return found


def worst(
    dataset: BeirDataset,
    first: _Run,
    second: _Run,
    *,
    rows: Mapping[str, PerQuestion],
    n: int,
    predictions: Mapping[str, str] | None = None,
    citations: Mapping[str, Sequence[str]] | None = None,
    depth: int = 0,
    width: int = 600,
) -> list[Worst]:
    """The questions that went worst, with what was found for them.

    They are those with the lowest F1; where nothing was answered, the lowest nDCG@10 of the last
    stage. Among equals the order is the data set's. A question with the best value there is went
    well, however few others there are.

    Args:
        dataset: the questions and their passages.
        first: scores of the first stage.
        second: scores after reranking; may be empty.
        rows: the values of single questions, by part, as `evaluate` reports them.
        n: how many at most.
        predictions: question id -> answer, "" where it abstained.
        citations: question id -> ids of the documents that the answer cites.
        depth: how many were reranked: below them there is no score of the second stage.
        width: characters that are kept of a passage's text.

    Raises:
        InputError: `n` is negative.
    """
    if n < 0:
        raise InputError(f"cannot show the worst {n} questions: expected 0 or more")
    measure, values = _judged(rows)
    best = _BEST.get(measure, 0.0)
    order = sorted(
        (q for q in dataset.questions if values.get(q.id, best) < best), key=lambda q: values[q.id]
    )
    return [
        Worst(
            id=q.id,
            question=q.text,
            measure=measure,
            score=round(values[q.id], _DIGITS),
            answer=(predictions or {}).get(q.id),
            accepted=None if q.answers is None else list(q.answers),
            passages=_passages(
                dataset,
                q,
                first.get(q.id, {}),
                second.get(q.id, {}),
                cited=(citations or {}).get(q.id, ()),
                depth=depth,
                width=width,
            ),
        )
        for q in order[:n]
    ]


def _judged(rows: Mapping[str, PerQuestion]) -> tuple[str, dict[str, float]]:
    """The measure that tells what is worst, and its value of each question."""
    for part, measure in (("answers", "f1"), ("rerank", "nDCG@10"), ("retrieval", "nDCG@10")):
        values = {qid: row[measure] for qid, row in rows.get(part, {}).items() if measure in row}
        if values:
            return measure, values
    return "", {}


def _passages(
    dataset: BeirDataset,
    question: Question,
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    cited: Iterable[str],
    depth: int,
    width: int,
) -> list[Passage]:
    """The best passages of the last stage, what is cited, and the relevant that they leave out."""
    before, after = ranked(first), ranked(second)
    grades, cited = dataset.qrels.get(question.id, {}), list(cited)
    best = (after or before)[:_N_PASSAGES]
    judged = judged_relevant(dataset, question.id)
    missed = sorted(judged - set(best), key=lambda d: (-grades[d], d))[:_N_MISSED]
    shown = list(dict.fromkeys([*best, *cited, *missed]))
    relevant = relevant_among(dataset, question, shown)
    return [
        Passage(
            id=doc_id,
            title=dataset.corpus[doc_id].title,
            text=_cut(dataset.corpus[doc_id].text, width),
            before=_rank(before, doc_id),
            after=(rank := _rank(after, doc_id)),
            first_score=_score(first.get(doc_id)),
            second_score=_score(second.get(doc_id)) if rank and rank <= depth else None,
            relevance=grades.get(doc_id),
            relevant=doc_id in relevant,
            cited=doc_id in cited,
        )
        for doc_id in shown
    ]


def _rank(order: Sequence[str], doc_id: str) -> int | None:
    return order.index(doc_id) + 1 if doc_id in order else None


def _score(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DIGITS)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _histogram(relevant: NDArray[np.float64], other: NDArray[np.float64]) -> Histogram:
    edges = np.histogram_bin_edges(np.concatenate([relevant, other]), bins=_N_BINS)
    return Histogram(
        edges=[round(float(edge), _DIGITS) for edge in edges],
        relevant=[int(count) for count in np.histogram(relevant, edges)[0]],
        other=[int(count) for count in np.histogram(other, edges)[0]],
    )
