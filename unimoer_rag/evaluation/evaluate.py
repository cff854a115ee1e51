"""One checkpoint measured on one data set: retrieval, reranking, answers, time and memory.

| part | what is measured |
|---|---|
| retrieval | the whole corpus searched for every judged question, or the order of a given run |
| rerank | the first `depth` of that rescored and put above the rest |
| answers | the span read from each question's gold passage; without those, the whole pipeline's |
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.answers import per_answer, score_answers
from unimoer_rag.evaluation.datasets import BeirDataset, Run
from unimoer_rag.evaluation.environment import memory_mb, versions
from unimoer_rag.evaluation.fingerprint import corpus_sha256, questions_sha256
from unimoer_rag.evaluation.indexing import caching, indexed
from unimoer_rag.evaluation.measure_answers import Answers, measure_pipeline, measure_reading
from unimoer_rag.evaluation.measure_ranking import Stages, measure_ranking
from unimoer_rag.evaluation.options import PARTS, EvalOptions
from unimoer_rag.evaluation.statistics import LEVEL, RESAMPLES
from unimoer_rag.evaluation.summary import Rows, answer_intervals, intervals, means, rounded
from unimoer_rag.evaluation.timing import Timings
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever

__all__ = ["PARTS", "EvalOptions", "evaluate"]

Progress = Callable[[str, int, int], None]


def evaluate(
    model: UniMoER,
    dataset: BeirDataset,
    *,
    run: Run | None = None,
    options: EvalOptions | None = None,
    on_progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Measure a model on a data set.

    Args:
        model: the checkpoint.
        dataset: questions, corpus, judgements.
        run: a first stage to rescore in place of searching.
        options: what to measure and how.
        on_progress: called with the part, what is done of it and its size.

    Returns:
        JSON-ready results: `dataset`, `split`, `n`, the means of `retrieval`, `rerank` and
        `answers` with their `intervals` and the values of each question (`per_question`),
        `latency_ms`, `memory_mb`, `versions` and a few more. A part that was not asked for, or
        that the data set has nothing for, is empty.

    Raises:
        DataError: the data set has nothing for any of the parts, the run belongs to another data
            set, or the kept index holds other passages.
    """
    options = options or EvalOptions()
    ranks = bool({"retrieval", "rerank"} & set(options.parts)) and bool(dataset.qrels)
    reads = "answers" in options.parts and bool(dataset.golds)
    if not ranks and not reads:
        raise DataError(
            f"{dataset.name!r} {dataset.split} has nothing to measure {', '.join(options.parts)} "
            f"by: {len(dataset.qrels)} questions are judged, {len(dataset.golds)} have answers"
        )
    timings = Timings()
    stages, answered = _measured(
        model, dataset, run, options, timings, ranks=ranks, reads=reads, on_progress=on_progress
    )
    rows: dict[str, Rows] = {"retrieval": stages.retrieval, "rerank": stages.rerank, "answers": {}}
    found = {part: intervals(of_part, seed=options.seed) for part, of_part in rows.items()}
    if answered is not None:
        rows["answers"] = per_answer(answered.predictions, dataset.golds)
        found["answers"] = answer_intervals(rows["answers"], dataset.golds, seed=options.seed)
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "n": len(dataset.questions),
        "n_judged": len(dataset.qrels),
        "n_judged_outside": dataset.n_judged_outside,
        "passages": len(dataset.corpus),
        "corpus_sha256": corpus_sha256(dataset),
        "questions_sha256": questions_sha256(dataset),
        "checkpoint": model.checkpoint,
        "checkpoint_digest": model.checkpoint_digest,
        "first_stage": "given run" if run is not None else options.mode,
        "rerank_depth": "whole run" if run is not None else options.depth,
        "retrieval": means(stages.retrieval),
        "rerank": means(stages.rerank),
        "answers": {} if answered is None else _answers(answered, dataset),
        "intervals": found,
        "bootstrap": {"level": LEVEL, "resamples": RESAMPLES},
        "seed": options.seed,
        "latency_ms": timings.medians(),
        "latency_percentiles_ms": timings.percentiles(),
        "questions_per_second": timings.rates,
        "memory_mb": memory_mb(model),
        "versions": versions(model),
        "per_question": {part: rounded(of_part) for part, of_part in rows.items()},
    }


def _measured(
    model: UniMoER,
    dataset: BeirDataset,
    run: Run | None,
    options: EvalOptions,
    timings: Timings,
    *,
    ranks: bool,
    reads: bool,
    on_progress: Progress,
) -> tuple[Stages, Answers | None]:
    """Both ranking stages and the answers, as far as they are wanted."""
    by_context = reads and all(q.context for q in dataset.questions if q.answers is not None)
    engine = Engine.of(model)
    stages = Stages()
    answers: Answers | None = None
    with caching(engine), ExitStack() as open_until_done:
        retriever: UnifiedRetriever | None = None
        if (ranks and run is None) or (reads and not by_context):
            scratch = open_until_done.enter_context(tempfile.TemporaryDirectory())
            index = options.index or Path(scratch) / "index"
            retriever = open_until_done.enter_context(
                indexed(model, dataset, index, options, on_progress)
            )
        if by_context:
            answers = measure_reading(
                engine, dataset, n_timed=options.n_timed, timings=timings, on_progress=on_progress
            )
        elif reads and retriever is not None:
            answers = measure_pipeline(retriever, dataset, timings=timings, on_progress=on_progress)
        # Last: its timings empty the cache that the answers have filled.
        first = retriever if run is None else run
        if ranks and first is not None:
            stages = measure_ranking(
                engine,
                dataset,
                first,
                depth=options.depth,
                rerank="rerank" in options.parts,
                n_timed=options.n_timed,
                timings=timings,
                on_progress=on_progress,
            )
    return stages, answers


def _answers(answered: Answers, dataset: BeirDataset) -> dict[str, Any]:
    """Where the answers come from, how many there are and what they score, in percent."""
    scores = score_answers(answered.predictions, dataset.golds).to_dict()
    abstained = sum(not text for text in answered.predictions.values())
    return {
        "from": answered.origin,
        "abstained": abstained,
        "abstention": round(100 * abstained / len(answered.predictions), 2),
        **{k: round(v, 2) if isinstance(v, float) else v for k, v in scores.items()},
    }
