"""Answers from nodes that any LlamaIndex retriever found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.synthesis import (
    SynthesizeEndEvent,
    SynthesizeStartEvent,
)
from llama_index.core.llms import MockLLM
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle, QueryType, TextNode
from llama_index.core.types import RESPONSE_TEXT_TYPE
from llama_index.response_synthesizers.unimoer.answers import EMPTY, Told, words_of
from llama_index.response_synthesizers.unimoer.hits import to_hits

from unimoer_rag.errors import InputError
from unimoer_rag.steps import Source, Steps, Streamed, arun, astream, either, run, stream

if TYPE_CHECKING:
    from unimoer_rag.generation import Generation, Generator, Writes

__all__ = ["UniMoERSynthesizer"]

dispatcher = get_dispatcher(__name__)


class UniMoERSynthesizer(BaseSynthesizer):
    """Answers a question from nodes: quotes them by the model's reader, or asks a generator.

    The response is the answer's text, or `empty_response` where the nodes do not answer. What its
    `source_nodes` and `metadata` tell is said at `Told`. No prompt of LlamaIndex is used.

    The reader weighs an answer by how relevant its node is, where a reranker says so: put
    `UniMoERRerank` among the node postprocessors, or retrieve by `UniMoERIndexRetriever`.

    Args:
        model: a checkpoint's name or folder, whose reader quotes; it is the one live model that
            `UniMoEREmbedding` and `UniMoERRerank` of that name hold.
        generator: answers in the reader's place, anything with the method of `Writes`, such as a
            `ChatServer` or a `Writer`; no model is loaded then.
        threshold: of the reader: answers below this confidence are not given; None for its own.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        streaming: give the text in pieces as it comes.
        empty_response: the text where nothing answers.
        callback_manager: of LlamaIndex.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        InputError: the generator is none, the threshold no probability, or the device or dtype
            cannot be used.

    >>> RetrieverQueryEngine(                                          # doctest: +SKIP
    ...     index.as_retriever(similarity_top_k=20),
    ...     response_synthesizer=UniMoERSynthesizer(),
    ...     node_postprocessors=[UniMoERRerank(top_n=5)],
    ... )
    """

    def __init__(
        self,
        model: str = "unimoer-minilm",
        *,
        generator: Writes | None = None,
        threshold: float | None = None,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        streaming: bool = False,
        empty_response: str = EMPTY,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        # Here, since they import torch, which importing the adapter must not.
        from unimoer_rag.engine import SharedModel
        from unimoer_rag.generation import THRESHOLD, ExtractiveReader, all_doors

        if generator is None:
            shared = SharedModel(model, revision=revision, device=device, dtype=dtype)
            generator = ExtractiveReader(
                shared.engine, threshold=THRESHOLD if threshold is None else threshold
            )
        elif not callable(getattr(generator, "generate", None)):
            raise InputError(
                f"generator is a {type(generator).__name__}: expected an object with the method "
                "generate(question, hits), such as a ChatServer or a Writer"
            )
        # The base class wants a language model, and asks the one of `Settings` where it gets none.
        super().__init__(llm=MockLLM(), callback_manager=callback_manager, streaming=streaming)
        self.generator: Generator = all_doors(generator)
        self._nobody: Generator = ExtractiveReader(None)
        self._empty_response = empty_response

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        """There are none."""

    def synthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        **response_kwargs: Any,
    ) -> RESPONSE_TYPE:
        """The answer to a question from nodes.

        Args:
            query: the question.
            nodes: what to read.
            additional_source_nodes: told as sources behind them, and not read.
            response_kwargs: none that it takes.

        Raises:
            InputError: an argument is none of these.
            GenerationError: the generator failed.
        """
        _refuse(response_kwargs)
        with self._events(query) as ended:
            question, more = _question(query), additional_source_nodes or ()
            return ended(run(self._response(question, nodes, more, self._stream)))

    async def asynthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        **response_kwargs: Any,
    ) -> RESPONSE_TYPE:
        """`synthesize` without blocking the event loop."""
        _refuse(response_kwargs)
        with self._events(query) as ended:
            question, more = _question(query), additional_source_nodes or ()
            return ended(await arun(self._response(question, nodes, more, self._astream)))

    def get_response(
        self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """The answer's text alone, from texts; raises as `synthesize` does."""
        _refuse(response_kwargs)
        return _text(run(self._response(query_str, _nodes(text_chunks), (), self._stream)))

    async def aget_response(
        self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """`get_response` without blocking the event loop."""
        _refuse(response_kwargs)
        made = self._response(query_str, _nodes(text_chunks), (), self._astream)
        return _text(await arun(made))

    def _response(
        self,
        question: str,
        nodes: Sequence[NodeWithScore],
        more: Sequence[NodeWithScore],
        streamed: Callable[[Streamed[str], Told], RESPONSE_TYPE],
    ) -> Steps[RESPONSE_TYPE]:
        found = to_hits(nodes)
        hits = [hit for hit, _ in found.values()]
        read = {key: node for key, (_, node) in found.items()}
        rest = [node for node in nodes if all(node is not other for other in read.values())]
        told = Told([*nodes, *more])
        fill = partial(told.fill, nodes=read, more=[*rest, *more])
        # Without passages nobody makes anything up.
        generator = self.generator if hits else self._nobody
        if self._streaming:
            pieces: Source[str | Generation] = Source(
                partial(generator.stream, question, hits),
                partial(generator.astream, question, hits),
            )
            return streamed(words_of(pieces, fill, self._empty_response), told)
        answer = yield from either(generator.generate, generator.agenerate, question, hits)
        fill(answer)
        text = self._empty_response if answer.text is None else answer.text
        return Response(text, told.sources, told.metadata)

    def _stream(self, pieces: Streamed[str], told: Told) -> RESPONSE_TYPE:
        return StreamingResponse(stream(pieces), told.sources, told.metadata)

    def _astream(self, pieces: Streamed[str], told: Told) -> RESPONSE_TYPE:
        return AsyncStreamingResponse(astream(pieces), told.sources, told.metadata)

    @contextmanager
    def _events(self, query: QueryType) -> Iterator[Callable[[RESPONSE_TYPE], RESPONSE_TYPE]]:
        """Tell that an answer is begun; call what this gives with the response it ended with."""
        dispatcher.event(SynthesizeStartEvent(query=query))
        payload: dict[str, Any] = {EventPayload.QUERY_STR: _question(query)}
        with self._callback_manager.event(CBEventType.SYNTHESIZE, payload=payload) as event:

            def ended(response: RESPONSE_TYPE) -> RESPONSE_TYPE:
                event.on_end(payload={EventPayload.RESPONSE: response})
                dispatcher.event(SynthesizeEndEvent(query=query, response=response))
                return response

            yield ended


def _refuse(unknown: dict[str, Any]) -> None:
    if unknown:
        raise InputError(
            f"a synthesizer of unimoer-rag takes no {next(iter(unknown))!r}: it answers from the "
            "question and the nodes alone"
        )


def _question(query: QueryType) -> str:
    return query.query_str if isinstance(query, QueryBundle) else query


def _nodes(texts: Sequence[str]) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text)) for text in texts]


def _text(response: RESPONSE_TYPE) -> RESPONSE_TEXT_TYPE:
    if isinstance(response, Response):
        return cast(str, response.response)
    return cast(RESPONSE_TEXT_TYPE, cast(StreamingResponse, response).response_gen)
