"""What every run of a study is measured by: nDCG@10 of each question, on fixed candidates.

A question's candidates are the first of a given run, or those of BM25 with the passages that
answer: over the whole corpus, or over the passages that BM25 ranks first for any of the questions,
where a set has a limit. They never depend on a model, so that all variants order the same, and
reranking says nothing of the embeddings. The task "rerank" orders a question's own candidates; the
task "embed" those of all questions, or with a given run the question's own too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unimoer_rag.data import BeirDataset, Run, load_beir, load_run, ranked
from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import Unified, asked, caching, per_query, rerank_run
from unimoer_rag.lab.studies.held_out import parted
from unimoer_rag.lab.studies.settings import DevSet
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import silent
from unimoer_rag.training import BM25Searcher

__all__ = ["TASKS", "Development", "Values", "measure", "pooled", "prepare"]

TASKS = ("embed", "rerank")
"""The tasks whose interference is studied."""

MEASURE = "nDCG@10"
_DIGITS = 5

Values = dict[str, dict[str, float]]
"""Measure ("nq/embed") -> question id -> value."""


@dataclass(frozen=True)
class Development:
    """One development set, ready to be measured.

    Attributes:
        dataset: its questions, over all their candidates.
        candidates: question id -> document id -> score: what reranking orders.
        closed: embeddings order a question's own candidates too.
    """

    dataset: BeirDataset
    candidates: Run
    closed: bool


def prepare(folder: Path, sets: Mapping[str, DevSet]) -> list[Development]:
    """Load the development sets, and find their candidates.

    Args:
        folder: of the data sets.
        sets: how each is measured, by name.

    Raises:
        DataError: a data set or its run is missing or malformed.
    """
    return [_prepared(folder / name, settings) for name, settings in sets.items()]


def _prepared(folder: Path, settings: DevSet) -> Development:
    whole = load_beir(folder, settings.split)
    small = (parted(whole).held_out if settings.held_out else whole).limit(settings.questions)
    if not small.qrels:
        raise DataError(f"{small.name}: no judgements to measure a ranking by")
    if settings.run is None:
        if settings.passages is not None:
            small = _likeliest(small, settings.passages)
        candidates = _with_answers(small, _by_words(small, settings.depth))
    else:
        candidates = _first(load_run(folder / settings.run), small, settings.depth)
    kept = {document for scores in candidates.values() for document in scores}
    corpus = {d: small.corpus[d] for d in small.corpus if d in kept}
    return Development(replace(small, corpus=corpus), candidates, settings.run is not None)


def _first(run: Run, dataset: BeirDataset, depth: int) -> Run:
    """The first results of each question that has some."""
    return {
        q.id: {d: found[d] for d in ranked(found)[:depth]}
        for q in asked(dataset)
        if (found := dataset.without_own(q.id, run.get(q.id, {})))
    }


def _likeliest(dataset: BeirDataset, n: int) -> BeirDataset:
    """Over n passages: those that answer, and those that BM25 ranks first for some question."""
    kept = dict.fromkeys(
        d for grades in dataset.qrels.values() for d in grades if d in dataset.corpus
    )
    orders = [ranked(found) for found in _by_words(dataset, n).values()]
    for rank in range(n):
        if len(kept) >= n:
            break
        kept |= dict.fromkeys(order[rank] for order in orders if rank < len(order))
    few = set(list(kept)[:n])
    return replace(dataset, corpus={d: dataset.corpus[d] for d in dataset.corpus if d in few})


def _by_words(dataset: BeirDataset, depth: int) -> Run:
    """The first results of BM25 over the whole corpus, of each question."""
    questions, names = asked(dataset), list(dataset.corpus)
    found = BM25Searcher().search(
        [q.text for q in questions],
        [dataset.content(name) for name in names],
        positives=[0] * len(questions),  # whose scores nobody asks for
        k=depth + dataset.most_left_out,
    )
    whole = {
        q.id: {names[p]: s for p, s in zip(row, scores, strict=True) if p >= 0}
        for q, row, scores in zip(
            questions, found.passages.tolist(), found.scores.tolist(), strict=True
        )
    }
    return _first(whole, dataset, depth)


def _with_answers(dataset: BeirDataset, run: Run) -> Run:
    """The same with the relevant passages that a search missed, behind all others."""
    whole: Run = {}
    for question in asked(dataset):
        found = run.get(question.id, {})
        last = min(found.values(), default=0.0)
        grades = dataset.qrels[question.id]
        missed = [d for d, g in grades.items() if g > 0 and d not in found and d in dataset.corpus]
        whole[question.id] = {**found, **{d: last - n for n, d in enumerate(missed, start=1)}}
    return whole


def measure(model: UniMoER, sets: Sequence[Development], tasks: Iterable[str] = TASKS) -> Values:
    """nDCG@10 of every question, by "SET/TASK".

    Args:
        model: with the tasks "embed" and "rerank", or those asked for.
        sets: of `prepare`.
        tasks: which of them.
    """
    engine = Engine.of(model)
    engine.cache.clear()  # the engine outlives a change of weights
    values: Values = {}
    for development in sets:
        dataset = development.dataset
        for task in tasks:
            run = (
                _embedded(model, development) if task == "embed" else _reranked(model, development)
            )
            rows = per_query(dataset.qrels, run, relevance_level=dataset.relevance_level)
            values[f"{dataset.name}/{task}"] = {
                q.id: round(rows[q.id][MEASURE], _DIGITS) for q in asked(dataset)
            }
    return values


def _embedded(model: UniMoER, development: Development) -> Run:
    dataset = development.dataset
    questions, names = asked(dataset), list(dataset.corpus)
    documents = model.embed([dataset.content(name) for name in names], "document")
    cosines = model.embed([q.text for q in questions], "query") @ documents.T
    run: Run = {}
    for question, row in zip(questions, cosines.tolist(), strict=True):
        scores = dict(zip(names, row, strict=True))
        if development.closed:
            scores = {d: scores[d] for d in development.candidates.get(question.id, ())}
        run[question.id] = dataset.without_own(question.id, scores)
    return run


def _reranked(model: UniMoER, development: Development) -> Run:
    dataset, candidates = development.dataset, development.candidates
    deepest = max(map(len, candidates.values()))
    with caching(Engine.of(model)):
        return rerank_run(
            Unified(model),
            dataset,
            asked(dataset),
            candidates,
            deepest,
            silent,
        )


def pooled(values: Values, own: Collection[str] = ()) -> Values:
    """The same by task alone: the questions of all data sets together, each weighing the same.

    Args:
        values: by "SET/TASK".
        own: data sets that were trained on, of which other questions are measured. Where some are,
            "own/TASK" and "other/TASK" are there too.
    """
    found: Values = {}
    for name, of_questions in values.items():
        dataset, _, task = name.rpartition("/")
        named = {f"{dataset}/{qid}": value for qid, value in of_questions.items()}
        found.setdefault(task, {}).update(named)
        if own:
            group = "own" if dataset in own else "other"
            found.setdefault(f"{group}/{task}", {}).update(named)
    return found
