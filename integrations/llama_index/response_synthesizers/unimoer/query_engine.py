"""`RagPipeline` as a LlamaIndex query engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import MetadataFilters
from llama_index.response_synthesizers.unimoer.answers import EMPTY, Told, words_of
from llama_index.retrievers.unimoer.filters import to_mapping
from llama_index.retrievers.unimoer.nodes import to_node

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import parse_filters
from unimoer_rag.retrieval.store.filters import Filters
from unimoer_rag.steps import Source, Streamed, astream, stream

if TYPE_CHECKING:
    from unimoer_rag.generation import Generation
    from unimoer_rag.pipelines import Answer, RagPipeline

__all__ = ["UniMoERQueryEngine"]


class UniMoERQueryEngine(BaseQueryEngine):
    """Answers questions by a `RagPipeline`: it retrieves, reranks, selects and generates.

    The response is the answer's text, or `empty_response` where the passages do not answer. Its
    `source_nodes` and `metadata` are those of `UniMoERSynthesizer`, and `metadata["timings"]` has
    the milliseconds of each stage. It looks for the words of the query; vectors and texts that a
    query transformation adds to a `QueryBundle` are not used.

    Args:
        pipeline: what answers; whoever made its retriever closes it.
        filters: conditions on the passages, as for `UniMoERIndexRetriever`.
        streaming: give the text in pieces as it comes.
        empty_response: the text where nothing answers.
        callback_manager: of LlamaIndex.

    Attributes:
        pipeline: what answers.

    Raises:
        InputError: it is no `RagPipeline`, or a filter cannot be used.

    >>> engine = RagPipeline(retriever).as_llama_index()               # doctest: +SKIP
    >>> str(engine.query("How long do refunds take?"))                 # doctest: +SKIP
    '14 days'
    """

    def __init__(
        self,
        pipeline: RagPipeline,
        *,
        filters: Filters | MetadataFilters | None = None,
        streaming: bool = False,
        empty_response: str = EMPTY,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        # Here, since it imports torch, which importing the adapter must not.
        from unimoer_rag.pipelines import RagPipeline

        if not isinstance(pipeline, RagPipeline):
            raise InputError(f"pipeline is a {type(pipeline).__name__}: expected a RagPipeline")
        if isinstance(filters, MetadataFilters):
            filters = to_mapping(filters)
        parse_filters(filters)
        super().__init__(callback_manager)
        self.pipeline = pipeline
        self._filters, self._streaming = filters, streaming
        self._empty_response = empty_response

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        question = query_bundle.query_str
        with self._told_of(question) as ended:
            if self._streaming:
                told = Told()
                return ended(
                    StreamingResponse(
                        stream(self._words(question, told)), told.sources, told.metadata
                    )
                )
            return ended(self._response(self.pipeline.answer(question, filters=self._filters)))

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        question = query_bundle.query_str
        with self._told_of(question) as ended:
            if self._streaming:
                told = Told()
                return ended(
                    AsyncStreamingResponse(
                        astream(self._words(question, told)), told.sources, told.metadata
                    )
                )
            answer = await self.pipeline.aanswer(question, filters=self._filters)
            return ended(self._response(answer))

    def _response(self, answer: Answer) -> Response:
        told = Told()
        _fill(told, answer)
        text = self._empty_response if answer.text is None else answer.text
        return Response(text, told.sources, told.metadata)

    def _words(self, question: str, told: Told) -> Streamed[str]:
        pieces: Source[str | Answer] = Source(
            partial(self.pipeline.stream, question, filters=self._filters),
            partial(self.pipeline.astream, question, filters=self._filters),
        )
        return words_of(pieces, partial(_fill, told), self._empty_response)

    @contextmanager
    def _told_of(self, question: str) -> Iterator[Callable[[RESPONSE_TYPE], RESPONSE_TYPE]]:
        """Tell callbacks that a query begins; call what this gives with the response."""
        payload: dict[str, Any] = {EventPayload.QUERY_STR: question}
        with self.callback_manager.event(CBEventType.QUERY, payload=payload) as event:

            def ended(response: RESPONSE_TYPE) -> RESPONSE_TYPE:
                event.on_end(payload={EventPayload.RESPONSE: response})
                return response

            yield ended


def _fill(told: Told, answer: Answer | Generation) -> None:
    """What the hits of an answer have to say; those that it cites may be of an earlier hop."""
    answer = cast("Answer", answer)
    cited = [one.hit for one in (*answer.citations, *answer.candidates)]
    told.fill(answer, {hit.id: to_node(hit) for hit in (*cited, *answer.hits)})
    told.metadata["timings"] = answer.timings
