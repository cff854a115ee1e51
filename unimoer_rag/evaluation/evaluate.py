"""One system measured on one data set: retrieval, reranking, answers, time and memory.

| part | what is measured |
|---|---|
| retrieval | the whole corpus searched for every judged question, or the order of a given run |
| rerank | the first `depth` of that rescored and put above the rest |
| answers | the span read from each question's gold passage; without those, the whole pipeline's |
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.answered import answer_means, answer_rows, samples
from unimoer_rag.evaluation.datasets import BeirDataset, Run
from unimoer_rag.evaluation.details import details
from unimoer_rag.evaluation.environment import memory_mb, versions
from unimoer_rag.evaluation.fingerprint import corpus_sha256, questions_sha256
from unimoer_rag.evaluation.indexing import caching
from unimoer_rag.evaluation.judged import Judged, check_judge, judge_answers
from unimoer_rag.evaluation.measure_answers import Answers, measure_pipeline, measure_reading
from unimoer_rag.evaluation.measure_ranking import Stages, asked, measure_ranking
from unimoer_rag.evaluation.options import PARTS, EvalOptions
from unimoer_rag.evaluation.statistics import LEVEL, RESAMPLES
from unimoer_rag.evaluation.summary import Rows, answer_intervals, intervals, means, rounded
from unimoer_rag.evaluation.systems import Finder, System, Unified
from unimoer_rag.evaluation.systems.pipeline import Answering, PlainPipeline
from unimoer_rag.evaluation.systems.types import Progress
from unimoer_rag.evaluation.timing import Timings
from unimoer_rag.generation.extractive import ExtractiveReader
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever

__all__ = ["PARTS", "EvalOptions", "evaluate"]


def evaluate(
    system: System | UniMoER,
    dataset: BeirDataset,
    *,
    run: Run | None = None,
    options: EvalOptions | None = None,
    pipeline: Callable[[Finder], Answering] | None = None,
    on_progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Measure a system on a data set.

    Args:
        system: what is measured; a model is measured as `Unified`.
        dataset: questions, corpus, judgements.
        run: a first stage to rescore in place of searching.
        options: what to measure and how.
        pipeline: makes the pipeline that answers, of what searches the corpus; by default the
            system's reader reads what was found.
        on_progress: called with the part, what is done of it and its size.

    Returns:
        JSON-ready results: `dataset`, `split`, `n`, the means of `retrieval`, `rerank` and
        `answers` with their `intervals` and the values of each question (`per_question`),
        `latency_ms`, `memory_mb`, `versions` and a few more. A part that was not asked for, or
        that the data set or the system has nothing for, is empty.

    Raises:
        DataError: the data set has nothing for any of the parts, the run belongs to another data
            set, or the kept index holds other passages.
    """
    options = options or EvalOptions()
    if isinstance(system, UniMoER):
        system = Unified(system)
    ranks = bool({"retrieval", "rerank"} & set(options.parts)) and bool(asked(dataset))
    reads = "answers" in options.parts and bool(dataset.golds)
    reads = reads and (system.reader is not None or pipeline is not None)
    if not ranks and not reads:
        raise DataError(
            f"{dataset.name!r} {dataset.split} has nothing to measure {', '.join(options.parts)} "
            f"of {system.name!r} by: {len(dataset.qrels)} questions are judged, "
            f"{len(dataset.golds)} have answers"
        )
    if options.ragas:
        if not reads:
            raise DataError(
                f"ragas judges answers, and {system.name!r} gives none on {dataset.name!r} "
                f"{dataset.split}: measure the part 'answers' where answers are known"
            )
        check_judge(options.judge)
    timings = Timings()
    measuring = _Measuring(system, dataset, run, options, pipeline, timings, on_progress)
    stages, answered = measuring.run_parts(ranks=ranks, reads=reads)
    rows: dict[str, Rows] = {"retrieval": stages.retrieval, "rerank": stages.rerank, "answers": {}}
    found = {part: intervals(of_part, seed=options.seed) for part, of_part in rows.items()}
    if answered is not None:
        rows["answers"] = answer_rows(answered, dataset)
        found["answers"] = answer_intervals(rows["answers"], dataset.golds, seed=options.seed)
    judged: Judged | None = None
    if answered is not None and options.ragas:
        embed = system.reader.embed if system.reader is not None else None
        judged = judge_answers(
            samples(answered, dataset), embed=embed, judge=options.judge, on_progress=on_progress
        )
        rows["ragas"] = judged.rows
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "n": len(dataset.questions),
        "n_judged": len(dataset.qrels),
        "n_judged_outside": dataset.n_judged_outside,
        "passages": len(dataset.corpus),
        "corpus_sha256": corpus_sha256(dataset),
        "questions_sha256": questions_sha256(dataset),
        "system": system.name,
        **system.describe(),
        "first_stage": "given run" if run is not None else options.mode,
        "rerank_depth": "whole run" if run is not None else options.depth,
        "threshold": options.threshold,
        "retrieval": means(stages.retrieval),
        "rerank": means(stages.rerank),
        "answers": {} if answered is None else answer_means(answered, dataset, rows["answers"]),
        **({} if judged is None else {"ragas": judged.summary(seed=options.seed)}),
        "intervals": found,
        "bootstrap": {"level": LEVEL, "resamples": RESAMPLES},
        "seed": options.seed,
        "latency_ms": timings.medians(),
        "latency_percentiles_ms": timings.percentiles(),
        "questions_per_second": timings.rates,
        "memory_mb": memory_mb(system.modules),
        "versions": versions(system.modules, others=("ragas",) if judged else ()),
        "per_question": {part: rounded(of_part) for part, of_part in rows.items()},
        "details": details(
            dataset,
            stages.first,
            stages.second,
            rows=rows,
            # A given run is reranked whole.
            depth=options.depth if run is None else sys.maxsize,
            n_worst=options.n_worst,
            predictions=answered.predictions if answered else None,
            citations=answered.citations if answered else None,
        ),
    }


@dataclass(frozen=True)
class _Measuring:
    """What all parts of one evaluation share."""

    system: System
    dataset: BeirDataset
    run: Run | None
    options: EvalOptions
    pipeline: Callable[[Finder], Answering] | None
    timings: Timings
    on_progress: Progress

    def run_parts(self, *, ranks: bool, reads: bool) -> tuple[Stages, Answers | None]:
        """Both ranking stages and the answers, as far as they are wanted."""
        # What reads a gold passage is the reader itself, whatever a pipeline would do.
        reader = self.system.reader if reads and self._has_contexts() else None
        stages = Stages()
        answers: Answers | None = None
        with ExitStack() as open_until_done:
            for model in self.system.modules:
                if isinstance(model, UniMoER):
                    open_until_done.enter_context(caching(Engine.of(model)))
            finder: Finder | None = None
            if (ranks and self.run is None) or (reads and reader is None):
                finder = self._finder(open_until_done)
            if reader is not None:
                answers = self._read(reader)
            elif reads and finder is not None:
                answers = self._answer(finder)
            # Last: its timings empty the cache that the answers have filled.
            first = finder if self.run is None else self.run
            if ranks and first is not None:
                stages = self._rank(first)
        return stages, answers

    def _has_contexts(self) -> bool:
        return all(q.context for q in self.dataset.questions if q.answers is not None)

    @property
    def _reranks(self) -> bool:
        wanted = "rerank" in self.options.parts and self.system.reranks
        return wanted and (self.run is not None or self.options.depth > 0)

    def _finder(self, open_until_done: ExitStack) -> Finder:
        index = self.options.index
        if index is None:
            scratch = open_until_done.enter_context(tempfile.TemporaryDirectory())
            index = Path(scratch) / "index"
        return open_until_done.enter_context(
            self.system.over(
                self.dataset.corpus,
                index=index,
                first_stage=self.options.mode,
                depth=self.options.depth,
                on_progress=self.on_progress,
            )
        )

    def _read(self, reader: Engine) -> Answers:
        return measure_reading(
            reader,
            self.dataset,
            n_timed=self.options.n_timed,
            timings=self.timings,
            on_progress=self.on_progress,
        )

    def _answer(self, finder: Finder) -> Answers:
        make = self.pipeline or self._default_pipeline
        return measure_pipeline(
            make(finder),
            self.dataset,
            first_stage=self.options.mode,
            threshold=self.options.threshold,
            timings=self.timings,
            on_progress=self.on_progress,
        )

    def _default_pipeline(self, finder: Finder) -> Answering:
        reader = self.system.reader
        if reader is None:
            raise DataError(f"{self.system.name!r} has no reader: give it one, or a pipeline")
        generator = ExtractiveReader(reader, threshold=0.0)
        if isinstance(finder, UnifiedRetriever):
            return RagPipeline(finder, generator=generator)
        return PlainPipeline(finder, generator)

    def _rank(self, first: Finder | Run) -> Stages:
        return measure_ranking(
            self.system,
            self.dataset,
            first,
            depth=self.options.depth,
            rerank=self._reranks,
            n_timed=self.options.n_timed,
            timings=self.timings,
            on_progress=self.on_progress,
        )
