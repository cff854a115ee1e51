"""RagPipeline: retrieve, rerank, select, generate, cite."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import cast

from unimoer_rag.errors import GenerationError, InputError
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
from unimoer_rag.pipelines.multihop import expand, join
from unimoer_rag.pipelines.stages import cite, search, select
from unimoer_rag.pipelines.tracing import Stage, Trace, tracing
from unimoer_rag.retrieval import Hit, UnifiedRetriever
from unimoer_rag.retrieval.retriever import Filters
from unimoer_rag.steps import Source, Steps, Streamed, arun, astream, either, run, stream

__all__ = ["NO_ANSWER", "Answer", "RagPipeline"]


class RagPipeline:
    """Retrieve passages, rerank them, select what fits, and answer from it.

    With more than one hop, what was answered leads to the next passages: the question is looked for
    again together with its answer, and answered again from what that finds beside the best of what
    was read (Iter-RetGen, Shao et al. 2023, arXiv 2305.15294). It ends early where an answer leads
    nowhere new.

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

    @classmethod
    def from_yaml(
        cls,
        name: str | Path,
        *,
        index: str | Path | None = None,
        url: str | None = None,
        api_key: str | None = None,
        chat_key: str | None = None,
    ) -> RagPipeline:
        """The pipeline of a preset ("local", "hybrid", "multihop", "server") or of a YAML file.

        Args:
            name: of the preset or the file; its keys are those of `PipelineConfig`.
            index: folder of the index, in place of the file's.
            url: of a Qdrant server, in place of the file's.
            api_key: of the Qdrant server; keys do not belong into a file.
            chat_key: of the chat server.

        Raises:
            InputError: there is none of that name, or it is malformed; names the line and the key.

        >>> RagPipeline.from_yaml("hybrid", index="handbook.index")        # doctest: +SKIP
        """
        from unimoer_rag.pipelines.config import PipelineConfig

        config = PipelineConfig.load(name).at(index=index, url=url)
        build = resolve_name("unimoer_rag.pipelines.build:build")  # which makes one of these
        return cast(RagPipeline, build(config, api_key=api_key, chat_key=chat_key))

    def answer(self, question: str, *, filters: Filters | None = None) -> Answer:
        """The answer to a question, with its confidence, sources and timings.

        Args:
            question: what is asked.
            filters: conditions on the passages, as for `UnifiedRetriever.search`.
        """
        return run(self._answered(question, filters))

    async def aanswer(self, question: str, *, filters: Filters | None = None) -> Answer:
        """`answer` without blocking the event loop."""
        return await arun(self._answered(question, filters))

    def stream(self, question: str, *, filters: Filters | None = None) -> Iterator[str | Answer]:
        """The answer's text in pieces as they come, and at the end the whole `Answer`.

        Closing the iterator stops the generator.

        >>> for piece in pipeline.stream("how long do refunds take?"):     # doctest: +SKIP
        ...     if isinstance(piece, str):
        ...         print(piece, end="", flush=True)
        """
        return stream(self._told(question, filters))

    def astream(
        self, question: str, *, filters: Filters | None = None
    ) -> AsyncIterator[str | Answer]:
        """`stream` without blocking the event loop."""
        return astream(self._told(question, filters))

    def _answered(self, question: str, filters: Filters | None) -> Steps[Answer]:
        with tracing() as trace:
            hits, known = yield from self._follow(question, filters, trace)
            generation = known or (yield from self._generate(question, hits, trace))
            return self._answer(question, hits, generation, trace)

    def _told(self, question: str, filters: Filters | None) -> Streamed[str | Answer]:
        with tracing() as trace:
            hits, generation = yield from self._follow(question, filters, trace)
            if generation is None:
                generator = self._generator(hits)
                with trace.streaming(generator.stage) as stage:
                    pieces = Source(
                        partial(generator.stream, question, hits),
                        partial(generator.astream, question, hits),
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
            elif generation.text is not None:
                yield generation.text
            answer = self._answer(question, hits, generation, trace)
        yield answer

    # -- passages ---------------------------------------------------------------------------

    def _follow(
        self, question: str, filters: Filters | None, trace: Trace
    ) -> Steps[tuple[list[Hit], Generation | None]]:
        """The passages of the last hop; and the answer, where it led to nothing new."""
        look = partial(search, self.retriever, n=self.n_read, filters=filters, trace=trace)
        asked = [question]
        hits = self._select((yield from look(question)), trace)
        for _ in range(1, self.hops):
            read = yield from self._generate(question, hits, trace)
            following = expand(question, read)
            if following is None or following in asked:
                return hits, read
            asked.append(following)
            found = yield from look(following)
            hits = self._select(join(hits, found, n=self.n_read), trace)
        return hits, None

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
        self, question: str, hits: Sequence[Hit], generation: Generation | None, trace: Trace
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
        )
