"""The parts of one evaluation: what can be measured of a system on a data set, and measuring it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

from unimoer_rag.data import BeirDataset, DiskCorpus, Run
from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.indexing import caching
from unimoer_rag.evaluation.judged import check_judge
from unimoer_rag.evaluation.measure_answers import Answers, measure_pipeline, measure_reading
from unimoer_rag.evaluation.measure_ranking import Stages, asked, measure_ranking
from unimoer_rag.evaluation.options import EvalOptions
from unimoer_rag.evaluation.systems import System, Unified, corpus_in_index
from unimoer_rag.evaluation.systems.pipeline import Answering
from unimoer_rag.evaluation.timing import Timings
from unimoer_rag.generation import ExtractiveReader
from unimoer_rag.model import UniMoER
from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.progress import Progress
from unimoer_rag.retrieval import (
    AutoRerank,
    Hit,
    UnifiedRetriever,
    check_settings,
    clean_text,
    resolve,
)

__all__ = ["Measuring"]


@dataclass(frozen=True)
class Measuring:
    """One system on one data set.

    Attributes:
        system: what is measured.
        dataset: questions, corpus, judgements.
        run: a first stage in place of searching.
        options: what to measure and how.
        pipeline: makes what answers, of what searches the corpus.
        on_progress: called with the part, what is done of it and its size.
        timings: what was timed.
    """

    system: System
    dataset: BeirDataset
    run: Run | None
    options: EvalOptions
    pipeline: Callable[[UnifiedRetriever], Answering] | None
    on_progress: Progress
    timings: Timings = field(default_factory=Timings)

    @cached_property
    def auto(self) -> AutoRerank | None:
        """Which questions are reranked; None where all are.

        Raises:
            InputError: it is not calibrated, or something else than our own search is measured.
        """
        if self.options.auto is None:
            return None
        if not isinstance(self.system, Unified) or self.run is not None:
            what = "a given run" if self.run is not None else repr(self.system.name)
            raise InputError(
                f"rerank is {self.options.auto!r}, which our own search decides by, but {what} is "
                "measured: give a number of results to rerank"
            )
        auto = resolve(self.options.auto, self.system.model)
        check_settings(1, auto, self.options.mode)
        return auto if isinstance(auto, AutoRerank) else None

    def _skips(self, hits: Sequence[Hit]) -> bool:
        auto = self.auto
        return auto is not None and auto.skips(hits[: auto.depth], self.options.mode)

    @property
    def depth(self) -> int:
        """How many results of a question are reranked at most."""
        return self.options.depth if self.auto is None else self.auto.depth

    @property
    def ranks(self) -> bool:
        """Whether rankings are measured: there are questions to measure them by."""
        return bool({"retrieval", "rerank"} & set(self.options.parts)) and bool(asked(self.dataset))

    @property
    def reads(self) -> bool:
        """Whether answers are measured: some are known, and something gives them."""
        able = self.system.reader is not None or self.pipeline is not None
        return "answers" in self.options.parts and bool(self.dataset.golds) and able

    @property
    def rerank_depth(self) -> int | str:
        """How many results are reranked, in a result's words; 0 for none."""
        if not self.system.reranks or not {"rerank", "answers"} & set(self.options.parts):
            return 0
        return "whole run" if self.run is not None else self.depth

    def check(self) -> None:
        """Raise what would keep the parts from being measured, before anything is.

        Raises:
            DataError: there is nothing to measure, no answers for ragas to judge, or an id that
                an index would change.
            MissingExtraError, GeneratorUnavailableError, GeneratorRefusedError: see `check_judge`.
        """
        _ = self.auto
        _check_ids(self.dataset)
        name, data = self.system.name, f"{self.dataset.name!r} {self.dataset.split}"
        if not self.ranks and not self.reads:
            raise DataError(
                f"{data} has nothing to measure {', '.join(self.options.parts)} of {name!r} by: "
                f"{len(self.dataset.qrels)} questions are judged, {len(self.dataset.golds)} have "
                "answers"
            )
        if self.options.ragas:
            if not self.reads:
                raise DataError(
                    f"ragas judges answers, and {name!r} gives none on {data}: measure the part "
                    "'answers' where answers are known"
                )
            check_judge(self.options.judge)

    def measure(self) -> tuple[Stages, Answers | None]:
        """Both ranking stages and the answers, as far as they are wanted.

        Raises:
            DataError: the run belongs to another data set, or the kept index holds other passages.
        """
        reader = self._reader_of_contexts()
        stages = Stages()
        answers: Answers | None = None
        with ExitStack() as open_until_done:
            for model in self.system.modules:
                if isinstance(model, UniMoER):
                    open_until_done.enter_context(caching(Engine.of(model)))
            finder: UnifiedRetriever | None = None
            if (self.ranks and self.run is None) or (self.reads and reader is None):
                finder = self._finder(open_until_done)
            if reader is not None:
                answers = self._read(reader)
            elif self.reads and finder is not None:
                answers = self._answer(finder)
            # Last: its timings empty the cache that the answers have filled.
            first = finder if self.run is None else self.run
            if self.ranks and first is not None:
                stages = self._rank(first)
        return stages, answers

    def _reader_of_contexts(self) -> Engine | None:
        """What reads the gold passages, where all are known and no pipeline was asked to answer."""
        known = all(q.context for q in self.dataset.questions if q.answers is not None)
        return self.system.reader if self.reads and known and self.pipeline is None else None

    def _finder(self, open_until_done: ExitStack) -> UnifiedRetriever:
        index = self.options.index
        if index is None:
            scratch = open_until_done.enter_context(tempfile.TemporaryDirectory())
            index = Path(scratch) / "index"
        finder = open_until_done.enter_context(
            corpus_in_index(
                self.system,
                self.dataset.corpus,
                index=index,
                first_stage=self.options.mode,
                depth=self.depth,
                on_progress=self.on_progress,
            )
        )
        if self.auto is not None and isinstance(finder, UnifiedRetriever):
            finder.rerank = self.auto
        return finder

    def _read(self, reader: Engine) -> Answers:
        return measure_reading(
            reader,
            self.dataset,
            n_timed=self.options.n_timed,
            forget=self.system.forget,
            timings=self.timings,
            on_progress=self.on_progress,
        )

    def _answer(self, finder: UnifiedRetriever) -> Answers:
        make = self.pipeline or self._default_pipeline
        return measure_pipeline(
            make(finder),
            self.dataset,
            first_stage=self.options.mode,
            threshold=self.options.threshold,
            n_timed=self.options.n_timed,
            forget=self.system.forget,
            timings=self.timings,
            on_progress=self.on_progress,
        )

    def _default_pipeline(self, finder: UnifiedRetriever) -> Answering:
        reader = self.system.reader
        if reader is None:
            raise DataError(f"{self.system.name!r} has no reader: give it one, or a pipeline")
        return RagPipeline(
            finder,
            generator=ExtractiveReader(reader, threshold=0.0),
            # Other rankers order by what is no probability, and cosines may be negative.
            min_score=0.0 if isinstance(self.system, Unified) else -math.inf,
        )

    def _rank(self, first: UnifiedRetriever | Run) -> Stages:
        wanted = "rerank" in self.options.parts and self.system.reranks
        return measure_ranking(
            self.system,
            self.dataset,
            first,
            depth=self.depth,
            rerank=wanted and (self.run is not None or self.depth > 0),
            skips=self._skips,
            n_timed=self.options.n_timed,
            timings=self.timings,
            on_progress=self.on_progress,
        )


def _check_ids(dataset: BeirDataset) -> None:
    """What is found is known by its id: one that no index keeps as it is would be lost."""
    if isinstance(dataset.corpus, DiskCorpus):
        return  # cleaned when it was stored
    ids = chain(dataset.corpus, (q.id for q in dataset.questions))
    changed = next((each for each in ids if clean_text(each) != each), None)
    if changed is not None:
        raise DataError(
            f"{dataset.name!r} has the id {changed!r}, which no index keeps as it is: pass ids "
            "through unimoer_rag.retrieval.text.clean_text, in judgements and runs too"
        )
