"""RagPipeline: retrieve, rerank, select, generate, cite."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

from unimoer_rag.errors import GenerationError, InputError
from unimoer_rag.extras import needs_extra
from unimoer_rag.generation import (
    THRESHOLD,
    ExtractiveReader,
    Generation,
    Generator,
    Writes,
    all_doors,
)
from unimoer_rag.model import UniMoER
from unimoer_rag.pipelines.answer import NO_ANSWER, Answer
from unimoer_rag.pipelines.condensing import FollowUp, check_follow_up, condense
from unimoer_rag.pipelines.history import History, Turn, read_history
from unimoer_rag.pipelines.multihop import follow
from unimoer_rag.pipelines.stages import cite, search, select
from unimoer_rag.pipelines.tracing import Stage, Trace, tracing
from unimoer_rag.retrieval import Hit, UnifiedRetriever
from unimoer_rag.retrieval.retriever import Filters
from unimoer_rag.steps import Source, Steps, Streamed, arun, astream, either, run, stream

if TYPE_CHECKING:
    from langchain_unimoer import UniMoERPipeline
    from llama_index.response_synthesizers.unimoer import UniMoERQueryEngine

__all__ = ["NO_ANSWER", "Answer", "RagPipeline"]


class RagPipeline:
    """Retrieve passages, rerank them, select what fits, and answer from it.

    With more than one hop, the best passages lead to further ones before anything is answered: to
    those whose titles they name, and to what is found for the question and their text together.
    The pairs that say most of what is asked for are read (`pipelines.multihop`). It ends early
    where a hop changes nothing.

    Every answer is timed by stage, and traced where OpenTelemetry is installed.

    Args:
        retriever: finds and reranks.
        n_read: how many of the best passages are read at most.
        threshold: of the reader: answers below this confidence are not given.
        generator: answers, anything with the method of `Writes`; by default the model's own reader,
            which quotes.
        min_score: passages scored below this are not read.
        max_tokens: tokens that the passages read may have together, counted by the model's
            tokenizer; the best passage is read however long it is.
        hops: how often passages are looked for.
        follow_up: who makes a question of its own of one that follows on others: "rules" over
            English words, the "model" that answers (one call more), "none"; or "auto", the model
            where a language model answers, else the rules.

    Raises:
        InputError: an argument has a value that cannot be used; another model than ours embeds, and
            no generator is given, or tokens are to be counted.

    >>> RagPipeline(retriever).answer("how long do refunds take?").text    # doctest: +SKIP
    'within 14 days'
    """

    def __init__(
        self,
        retriever: UnifiedRetriever,
        *,
        n_read: int = 5,
        threshold: float = THRESHOLD,
        generator: Writes | None = None,
        min_score: float = 0.0,
        max_tokens: int | None = None,
        hops: int = 1,
        follow_up: FollowUp = "auto",
    ) -> None:
        if n_read < 1:
            raise InputError(f"n_read is {n_read}: expected the number of passages to read")
        if math.isnan(min_score):
            raise InputError("min_score is nan: expected the least score of a passage to read")
        if max_tokens is not None and max_tokens < 1:
            raise InputError(f"max_tokens is {max_tokens}: expected tokens to read, or None")
        if hops < 1:
            raise InputError(f"hops is {hops}: expected how often to look for passages, 1 or more")
        if generator is not None and not callable(getattr(generator, "generate", None)):
            raise InputError(
                f"generator is a {type(generator).__name__}: expected an object with the method "
                "generate(question, hits), such as a ChatServer, a Writer or LangChainWrites"
            )
        # Another model than ours embeds for whoever brings a generator; it counts no tokens.
        ours = generator is None or max_tokens is not None or isinstance(retriever.embeds, UniMoER)
        self._reader = ExtractiveReader(retriever.engine if ours else None, threshold=threshold)
        self.retriever, self.n_read, self.hops = retriever, n_read, hops
        self.min_score, self.max_tokens = min_score, max_tokens
        self.generator: Writes = self._reader if generator is None else generator
        check_follow_up(follow_up, self.generator)
        self.follow_up: FollowUp = follow_up

    @classmethod
    def from_yaml(
        cls,
        name: str | Path,
        *,
        index: str | Path | None = None,
        url: str | None = None,
        api_key: str | None = None,
        chat_key: str | None = None,
        rerank_key: str | None = None,
    ) -> RagPipeline:
        """The pipeline of a preset ("local", "hybrid", "multihop", "server") or of a YAML file.

        Args:
            name: of the preset or the file; its keys are those of `PipelineConfig`.
            index: folder of the index, in place of the file's.
            url: of a Qdrant server, in place of the file's.
            api_key: of the Qdrant server; keys do not belong into a file.
            chat_key: of the chat server.
            rerank_key: of the one that reranks, if that is another one.

        Raises:
            InputError: there is none of that name, or it is malformed; names the line and the key.

        >>> RagPipeline.from_yaml("hybrid", index="handbook.index")        # doctest: +SKIP
        """
        from unimoer_rag.pipelines.config import PipelineConfig

        config = PipelineConfig.load(name).at(index=index, url=url)
        build = resolve_name("unimoer_rag.pipelines.build:build")  # which makes one of these
        keys = {"api_key": api_key, "chat_key": chat_key, "rerank_key": rerank_key}
        return cast(RagPipeline, build(config, **keys))

    def answer(
        self, question: str, *, history: History | None = None, filters: Filters | None = None
    ) -> Answer:
        """The answer to a question, with its confidence, sources and timings.

        Args:
            question: what is asked.
            history: earlier turns, oldest first: answers of this pipeline, pairs of question and
                answer, or messages as of OpenAI. A question that follows on them is made one of
                its own (`Answer.standalone`), which is then looked for and answered.
            filters: conditions on the passages, as for `UnifiedRetriever.search`.

        Raises:
            InputError: the history is no sequence of turns, or the question or a filter no such.
        """
        return run(self._answered(question, read_history(history, question), filters))

    async def aanswer(
        self, question: str, *, history: History | None = None, filters: Filters | None = None
    ) -> Answer:
        """`answer` without blocking the event loop."""
        return await arun(self._answered(question, read_history(history, question), filters))

    def stream(
        self, question: str, *, history: History | None = None, filters: Filters | None = None
    ) -> Iterator[str | Answer]:
        """The answer's text in pieces as they come, and at the end the whole `Answer`.

        Closing the iterator stops the generator.

        >>> for piece in pipeline.stream("how long do refunds take?"):     # doctest: +SKIP
        ...     if isinstance(piece, str):
        ...         print(piece, end="", flush=True)
        """
        return stream(self._told(question, read_history(history, question), filters))

    def astream(
        self, question: str, *, history: History | None = None, filters: Filters | None = None
    ) -> AsyncIterator[str | Answer]:
        """`stream` without blocking the event loop."""
        return astream(self._told(question, read_history(history, question), filters))

    def as_llama_index(self, **settings: Any) -> UniMoERQueryEngine:
        """This pipeline as a LlamaIndex query engine.

        Args:
            settings: filters, streaming, empty_response of `UniMoERQueryEngine`.

        Raises:
            MissingExtraError: LlamaIndex is not installed.
        """
        with needs_extra("llama_index.core", "llama-index", "as_llama_index"):
            adapter = resolve_name("llama_index.response_synthesizers.unimoer:UniMoERQueryEngine")

        return cast("UniMoERQueryEngine", adapter(self, **settings))

    def as_langchain(self) -> UniMoERPipeline:
        """This pipeline as a LangChain Runnable, which also makes a tool of it.

        Raises:
            MissingExtraError: LangChain is not installed.
        """
        with needs_extra("langchain_core", "langchain", "as_langchain"):
            adapter = resolve_name("langchain_unimoer:UniMoERPipeline")

        return cast("UniMoERPipeline", adapter(self))

    def _answered(
        self, question: str, turns: Sequence[Turn], filters: Filters | None
    ) -> Steps[Answer]:
        with tracing() as trace:
            asked = yield from self._condense(question, turns, trace)
            hits = yield from self._find(asked, filters, trace)
            generation = yield from self._generate(asked, hits, trace)
            return self._answer(question, asked, hits, generation, trace)

    def _told(
        self, question: str, turns: Sequence[Turn], filters: Filters | None
    ) -> Streamed[str | Answer]:
        with tracing() as trace:
            asked = yield from self._condense(question, turns, trace)
            hits = yield from self._find(asked, filters, trace)
            generation: Generation | None = None
            generator = self._generator(hits)
            with trace.streaming(generator.stage) as stage:
                pieces = Source(
                    partial(generator.stream, asked, hits),
                    partial(generator.astream, asked, hits),
                )
                try:
                    while (piece := (yield from stage.work(pieces.next()))) is not None:
                        if isinstance(piece, Generation):
                            generation = piece
                        else:
                            yield piece
                finally:
                    yield from pieces.close()
                self._tell_model(stage, generator)
            answer = self._answer(question, asked, hits, generation, trace)
        yield answer

    def _condense(self, question: str, turns: Sequence[Turn], trace: Trace) -> Steps[str]:
        how = self.follow_up
        return condense(question, turns, follow_up=how, generator=self.generator, trace=trace)

    # -- passages ---------------------------------------------------------------------------

    def _find(self, question: str, filters: Filters | None, trace: Trace) -> Steps[list[Hit]]:
        """The passages to read, after all hops."""
        n = self.n_read
        hits = yield from search(self.retriever, question, n=n, filters=filters, trace=trace)
        for _ in range(1, self.hops if hits else 1):
            known = {hit.id for hit in hits[:n]}
            hits = yield from follow(
                self.retriever, question, hits, n=n, filters=filters, trace=trace
            )
            if {hit.id for hit in hits[:n]} == known:
                break
        return self._select(hits, trace)

    def _select(self, found: Sequence[Hit], trace: Trace) -> list[Hit]:
        return select(
            found,
            n=self.n_read,
            min_score=self.min_score,
            max_tokens=self.max_tokens,
            rows=None if self.max_tokens is None else self.retriever.model.rows,
            trace=trace,
        )

    # -- answers ----------------------------------------------------------------------------

    def _generator(self, hits: Sequence[Hit]) -> Generator:
        """Who answers: without passages nobody makes anything up."""
        return all_doors(self.generator) if hits else self._reader

    def _generate(self, question: str, hits: Sequence[Hit], trace: Trace) -> Steps[Generation]:
        generator = self._generator(hits)
        with trace.stage(generator.stage) as stage:
            generation = yield from either(generator.generate, generator.agenerate, question, hits)
            self._tell_model(stage, generator)
        return generation

    def _tell_model(self, stage: Stage, generator: Generator) -> None:
        own = self.retriever.embeds.checkpoint if generator is self._reader else None
        model = getattr(generator, "model", None)
        name = own or (model if isinstance(model, str) else getattr(model, "name", None))
        stage.tell({"gen_ai.request.model": name})

    def _answer(
        self,
        question: str,
        asked: str,
        hits: Sequence[Hit],
        generation: Generation | None,
        trace: Trace,
    ) -> Answer:
        """The whole answer, each place cited once.

        Raises:
            GenerationError: a stream ended without its `Generation`.
        """
        if generation is None:
            raise GenerationError(
                f"{type(self.generator).__name__} ended its stream without the whole answer: "
                "expected a Generation as its last piece"
            )
        citations = cite(generation.citations, trace=trace)
        trace.tell(
            {
                "unimoer.hops": self.hops,
                "unimoer.hits": len(hits),
                "unimoer.abstained": generation.text is None,
                "unimoer.confidence": generation.confidence,
                "unimoer.complete": generation.complete,
                "unimoer.cut_by": generation.cut_by or None,
                "unimoer.prompt": generation.prompt or None,
            }
        )
        trace.quote({"unimoer.question": question, "unimoer.answer": generation.text})
        return Answer(
            question=question,
            text=generation.text,
            confidence=generation.confidence,
            citations=citations,
            hits=hits,
            timings=trace.timings,
            prompt=generation.prompt,
            complete=generation.complete,
            cut_by=generation.cut_by,
            candidates=generation.candidates,
            standalone=None if asked == question else asked,
        )
