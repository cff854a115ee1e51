"""One system measured on one data set: retrieval, reranking, answers, time and memory.

| part | what is measured |
|---|---|
| retrieval | the whole corpus searched for every judged question, or the order of a given run |
| rerank | the first `depth` of that rescored and put above the rest |
| answers | those of a given pipeline; without one, the span read from each question's gold passage; without those, the answers of the whole default pipeline |
"""  # noqa: E501 - a table

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

from unimoer_rag.data import BeirDataset, Run, corpus_sha256, questions_sha256
from unimoer_rag.errors import UnimoerError
from unimoer_rag.evaluation.answered import answer_means, answer_rows, samples
from unimoer_rag.evaluation.details import details
from unimoer_rag.evaluation.environment import memory_mb, versions
from unimoer_rag.evaluation.judged import Judged, judge_answers
from unimoer_rag.evaluation.measure_answers import Answers
from unimoer_rag.evaluation.measure_ranking import Stages
from unimoer_rag.evaluation.measuring import Measuring
from unimoer_rag.evaluation.options import PARTS, EvalOptions
from unimoer_rag.evaluation.results import Bootstrap, Result, Skipping
from unimoer_rag.evaluation.statistics import LEVEL, RESAMPLES
from unimoer_rag.evaluation.summary import PerQuestion, answer_intervals, intervals, means, rounded
from unimoer_rag.evaluation.systems import System, Unified
from unimoer_rag.evaluation.systems.pipeline import Answering
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import UnifiedRetriever, bm25_of

__all__ = ["PARTS", "EvalOptions", "evaluate"]


def evaluate(
    system: System | UniMoER,
    dataset: BeirDataset,
    *,
    run: Run | None = None,
    options: EvalOptions | None = None,
    pipeline: Callable[[UnifiedRetriever], Answering] | None = None,
    on_progress: Progress = silent,
    on_ranked: Callable[[Run], None] = lambda run: None,
) -> Result:
    """Measure a system on a data set.

    Args:
        system: what is measured; a model is measured as `Unified`.
        dataset: questions, corpus, judgements.
        run: a first stage to rescore in place of searching.
        options: what to measure and how.
        pipeline: makes the pipeline that answers, of what searches the corpus; by default the
            system's reader reads the gold passages, or what was found where those are not known.
        on_progress: called with the part, what is done of it and its size.
        on_ranked: called with the ranking of every question as the last stage leaves it, where
            rankings are measured.

    Returns:
        Means with their intervals and the values of each question, times and memory. A part that
        was not asked for, or that the data set or the system has nothing for, is empty. Where ragas
        stopped judging, `ragas_error` says why, in place of its means.

    Raises:
        DataError: the data set has nothing for any of the parts, the run belongs to another data
            set, or the kept index holds other passages.
        MissingExtraError, GeneratorUnavailableError, GeneratorRefusedError: ragas cannot judge,
            see `judge_answers`.
    """
    options = options or EvalOptions()
    if isinstance(system, UniMoER):
        system = Unified(system)
    measuring = Measuring(system, dataset, run, options, pipeline, on_progress)
    measuring.check()
    stages, answered = measuring.measure()
    if stages.first:
        on_ranked(stages.second or stages.first)
    rows: dict[str, PerQuestion] = {
        "retrieval": stages.retrieval,
        "rerank": stages.rerank,
        "answers": {} if answered is None else answer_rows(answered, dataset),
    }
    ends = {part: intervals(of_part, seed=options.seed) for part, of_part in rows.items()}
    judged: Judged | None = None
    unjudged: str | None = None
    if answered is not None:
        ends["answers"] = answer_intervals(
            rows["answers"], dataset.golds, seed=options.seed, rules=dataset.answer_rules
        )
        judged, unjudged = _judge(answered, measuring) if options.ragas else (None, None)
    if judged is not None:
        rows["ragas"] = judged.rows
    timings = measuring.timings
    return Result(
        dataset=dataset.name,
        split=dataset.split,
        n=len(dataset.questions),
        n_judged=len(dataset.qrels),
        n_judged_outside=dataset.n_judged_outside,
        passages=len(dataset.corpus),
        ignore_identical_ids=dataset.ignore_identical_ids,
        n_own_documents=len(dataset.own_documents),
        corpus_sha256=corpus_sha256(dataset),
        questions_sha256=questions_sha256(dataset),
        system=system.name,
        made_of=system.describe(),
        first_stage="given run" if run is not None else options.mode,
        bm25=_bm25(measuring),
        rerank_depth=measuring.rerank_depth,
        auto_rerank=_skipping(measuring, stages),
        threshold=options.threshold,
        retrieval=means(stages.retrieval),
        rerank=means(stages.rerank),
        answers={} if answered is None else answer_means(answered, dataset, rows["answers"]),
        ragas=None if judged is None else judged.summary(seed=options.seed),
        ragas_judge=None if judged is None else judged.model,
        ragas_error=unjudged,
        intervals=ends,
        bootstrap=Bootstrap(level=LEVEL, resamples=RESAMPLES),
        seed=options.seed,
        latency_ms=timings.medians(),
        latency_percentiles_ms=timings.percentiles(),
        warm_latency_percentiles_ms=timings.warm_percentiles(),
        questions_per_second=timings.rates,
        memory_mb=memory_mb(system.modules),
        versions=versions(system.modules, others=("ragas",) if judged else ()),
        per_question={part: rounded(of_part) for part, of_part in rows.items()},
        details=details(
            dataset,
            stages.first,
            stages.second,
            rows=rows,
            # A given run is reranked whole.
            depth=measuring.depth if run is None else sys.maxsize,
            n_worst=options.n_worst,
            predictions=answered.predictions if answered else None,
            citations=answered.citations if answered else None,
        ),
    )


def _bm25(measuring: Measuring) -> dict[str, int | float | str] | None:
    """The parameters of BM25, where the first stage uses it."""
    if measuring.run is not None or measuring.options.mode == "dense":
        return None
    return asdict(bm25_of(measuring.system.embeds))


def _judge(answered: Answers, measuring: Measuring) -> tuple[Judged | None, str | None]:
    """What ragas says, or why it says nothing: all else is measured, and not thrown away."""
    reader, options = measuring.system.reader, measuring.options
    try:
        judged = judge_answers(
            samples(answered, measuring.dataset),
            embed=None if reader is None else reader.embed,
            judge=options.judge,
            on_progress=measuring.on_progress,
        )
    except UnimoerError as error:
        return None, str(error)
    return judged, None


def _skipping(measuring: Measuring, stages: Stages) -> Skipping | None:
    """Which questions were left unranked, where `AutoRerank` decides it."""
    if measuring.auto is None:
        return None
    n = len(stages.second)
    return Skipping(
        threshold=measuring.auto.threshold(measuring.options.mode),
        skipped=len(stages.skipped),
        share_skipped=round(len(stages.skipped) / n, 4) if n else None,
    )
