"""Answers as LlamaIndex's responses: quotes with their places, from anybody's nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core import QueryBundle, VectorStoreIndex
from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation.events.query import QueryEndEvent, QueryStartEvent
from llama_index.core.instrumentation.events.synthesis import (
    SynthesizeEndEvent,
    SynthesizeStartEvent,
)
from llama_index.core.llms import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CustomLLM,
    LLMMetadata,
)
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, TextNode
from llama_index.core.tools import QueryEngineTool
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.postprocessor.unimoer_rerank import UniMoERRerank
from llama_index.response_synthesizers.unimoer import UniMoERQueryEngine, UniMoERSynthesizer
from llama_index_helpers import EXACT, Events

from unimoer_rag import RagPipeline, UnifiedRetriever, UniMoER
from unimoer_rag.errors import GenerationError, InputError
from unimoer_rag.generation.types import Citation, Generation
from unimoer_rag.retrieval.types import Hit

QUESTION, UNKNOWN = "How long do refunds take?", "Who won the 1998 World Cup?"
TEXTS = ["Refunds are paid within 14 days.", "We open at nine.", "A kayak costs £20 an hour."]


@pytest.fixture(scope="module")
def synthesizer(minilm_path: object) -> UniMoERSynthesizer:
    return UniMoERSynthesizer(**EXACT)


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    """Nodes in the order and with the scores of some retriever."""
    made = [TextNode(text=text, id_=str(n), start_char_idx=100) for n, text in enumerate(TEXTS)]
    return [NodeWithScore(node=node, score=0.7 - 0.1 * n) for n, node in enumerate(made)]


class Says:
    """A generator with the one method of the port."""

    def __init__(self, text: str | None, *cites: int) -> None:
        self.text, self.cites = text, cites
        self.asked: list[tuple[str, Sequence[Hit]]] = []

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        self.asked.append((question, hits))
        cited = [hits[n - 1] for n in self.cites]
        citations = [Citation(h.text, h, h.start, h.end, None, n) for n, h in enumerate(cited, 1)]
        return Generation(self.text, citations, complete=False, cut_by="length")


# What it gives


async def test_a_quote_and_where_it_stands(
    synthesizer: UniMoERSynthesizer, nodes: list[NodeWithScore], live: UniMoER
) -> None:
    [reading] = live.read(QUESTION, TEXTS[:1])
    blocking = synthesizer.synthesize(QUESTION, nodes[::-1])
    for response in (blocking, await synthesizer.asynthesize(QueryBundle(QUESTION), nodes[::-1])):
        assert str(response) == "14 days"
        assert [found.node_id for found in response.source_nodes] == ["0", "2", "1"]
        assert [found.score for found in response.source_nodes] == pytest.approx([0.7, 0.5, 0.6])
        node = response.source_nodes[0].node
        said = node.metadata
        assert said["quote"] == TEXTS[0][said["quote_start"] : said["quote_end"]] == "14 days"
        assert said["quote_confidence"] == pytest.approx(reading.confidence(), abs=1e-5)
        told: Any = response.metadata
        assert told["0"] == said
        assert told["confidence"] == said["quote_confidence"]
        assert (told["answered"], told["complete"]) == (True, True)
        assert all(candidate["node_id"] in "12" for candidate in told["candidates"])
        # No model is shown what was found out.
        for mode in (MetadataMode.EMBED, MetadataMode.LLM):
            assert node.get_content(metadata_mode=mode) == TEXTS[0]
    assert all("quote" not in found.node.metadata for found in nodes)


def test_relevance_counts_where_a_reranker_gave_it(
    synthesizer: UniMoERSynthesizer, nodes: list[NodeWithScore], live: UniMoER
) -> None:
    [reading] = live.read(QUESTION, TEXTS[:1])
    for score, relevance in ((0.4, 0.4), (7.5, None), (-1.0, None), (None, None)):
        node = nodes[0].node.model_copy(update={"metadata": {"retrieval_score": 0.5}})
        response = synthesizer.synthesize(QUESTION, [NodeWithScore(node=node, score=score)])
        expected = reading.confidence(relevance)
        assert response.metadata is not None
        assert response.metadata["confidence"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
async def test_behind_other_peoples_retrievers_and_postprocessors(
    embedding: UniMoEREmbedding, rerank: UniMoERRerank, synthesizer: UniMoERSynthesizer
) -> None:
    nodes = [TextNode(text=text, metadata={"n": n}) for n, text in enumerate([*TEXTS, "Bye."])]
    engine = RetrieverQueryEngine(
        VectorStoreIndex(nodes, embed_model=embedding).as_retriever(similarity_top_k=4),
        response_synthesizer=synthesizer,
        node_postprocessors=[SimilarityPostprocessor(similarity_cutoff=-1), rerank],
    )
    for response in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert str(response) == "14 days"
        assert len(response.source_nodes) == 3
        assert response.source_nodes[0].metadata["n"] == 0
        assert response.metadata is not None
        assert response.metadata["confidence"] > 0.5
    assert str(engine.query(UNKNOWN)) == "Empty Response"


@pytest.mark.parametrize("streaming", [False, True])
async def test_where_nothing_answers(nodes: list[NodeWithScore], streaming: bool) -> None:
    made = UniMoERSynthesizer(streaming=streaming, **EXACT)
    own = UniMoERSynthesizer(streaming=streaming, empty_response="not said", **EXACT)
    for response in (made.synthesize(UNKNOWN, nodes), made.synthesize(QUESTION, [])):
        assert str(response) == "Empty Response"
        assert response.metadata is not None
        assert (response.metadata["answered"], response.metadata["confidence"]) == (False, 0.0)
    unread = await own.asynthesize(UNKNOWN, nodes, additional_source_nodes=nodes[:1])
    text = await unread.get_response() if streaming else unread  # type: ignore[union-attr,misc]
    assert str(text) == "not said"
    assert [found.node_id for found in unread.source_nodes] == ["0", "1", "2", "0"]


async def test_streams_say_the_same(
    synthesizer: UniMoERSynthesizer, nodes: list[NodeWithScore]
) -> None:
    whole = synthesizer.synthesize(QUESTION, nodes)
    streaming = UniMoERSynthesizer(streaming=True, **EXACT)
    response = streaming.synthesize(QUESTION, nodes)
    assert isinstance(response, StreamingResponse)
    assert response.source_nodes == nodes
    assert "".join(response.response_gen) == "14 days"
    awaited = await streaming.asynthesize(QUESTION, nodes)
    assert isinstance(awaited, AsyncStreamingResponse)
    assert [piece async for piece in awaited.async_response_gen()] == ["14 days"]
    for other in (response, awaited):
        assert [found.node_id for found in other.source_nodes] == ["0", "1", "2"]
        assert other.metadata is not None
        assert whole.metadata is not None
        assert other.metadata.keys() == whole.metadata.keys()
        assert other.metadata["confidence"] == pytest.approx(whole.metadata["confidence"], abs=1e-5)


async def test_texts_alone(synthesizer: UniMoERSynthesizer) -> None:
    assert synthesizer.get_response(QUESTION, TEXTS) == "14 days"
    assert await synthesizer.aget_response(QUESTION, TEXTS) == "14 days"
    pieces: Any = UniMoERSynthesizer(streaming=True, **EXACT).get_response(QUESTION, TEXTS)
    assert list(pieces) == ["14 days"]


# Another generator


async def test_a_generator_of_ones_own(nodes: list[NodeWithScore]) -> None:
    says = Says("Nine [2], and 14 days [1].", 2, 1, 2)
    made = UniMoERSynthesizer(generator=says)
    picture = NodeWithScore(node=ImageNode(image_url="http://localhost/a.png"))
    for response in (
        made.synthesize(QUESTION, [picture, *nodes]),
        await made.asynthesize(QUESTION, [picture, *nodes]),
    ):
        assert str(response) == says.text
        ids = [found.node_id for found in response.source_nodes]
        assert ids == ["1", "0", "2", picture.node_id]
        said = response.source_nodes[0].node.metadata
        assert (said["quote"], said["quote_start"]) == (TEXTS[1], 0)
        assert said["quote_confidence"] is None
        assert response.metadata is not None
        assert (response.metadata["complete"], response.metadata["confidence"]) == (False, None)
    [question, hits] = says.asked[0]
    assert question == QUESTION
    assert [hit.text for hit in hits] == TEXTS
    assert [hit.start for hit in hits] == [100] * 3


def test_nobody_makes_anything_up() -> None:
    says = Says("Made up.")
    made = UniMoERSynthesizer(generator=says)
    assert str(made.synthesize(QUESTION, [])) == "Empty Response"
    assert str(made.synthesize(QUESTION, [NodeWithScore(node=TextNode(text=" "))])) == (
        "Empty Response"
    )
    assert says.asked == []


def test_a_stream_without_its_end_is_told() -> None:
    class Breaks(Says):
        stage = "generate"

        async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation: ...

        def stream(self, question: str, hits: Sequence[Hit]) -> Any:
            yield "Fourteen"

        def astream(self, question: str, hits: Sequence[Hit]) -> Any: ...

    made = UniMoERSynthesizer(generator=Breaks("never"), streaming=True)
    with pytest.raises(GenerationError, match="without the whole answer"):
        str(made.synthesize(QUESTION, [NodeWithScore(node=TextNode(text="A text."))]))


# What it tells and refuses


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_events_and_callbacks_tell_of_it(
    nodes: list[NodeWithScore],
    events: Events,
    manager: CallbackManager,
    debug: LlamaDebugHandler,
    way: str,
) -> None:
    made = UniMoERSynthesizer(callback_manager=manager, **EXACT)
    query = QueryBundle(QUESTION)
    if way == "sync":
        response = made.synthesize(query, nodes)
    else:
        response = await made.asynthesize(query, nodes)
    begun, ended = events.of(SynthesizeStartEvent, SynthesizeEndEvent)
    assert (begun.query, ended.response) == (query, response)
    [(first, last)] = debug.get_event_pairs(CBEventType.SYNTHESIZE)
    assert first.payload == {EventPayload.QUERY_STR: QUESTION}
    assert last.payload == {EventPayload.RESPONSE: response}


def test_what_cannot_be_used_is_refused(nodes: list[NodeWithScore]) -> None:
    with pytest.raises(InputError, match="generator is a str: expected an object with the method"):
        UniMoERSynthesizer(generator="gpt")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="threshold is 2"):
        UniMoERSynthesizer(threshold=2, **EXACT)
    made = UniMoERSynthesizer(generator=Says("x"))
    with pytest.raises(InputError, match="takes no 'prev_response'"):
        made.synthesize(QUESTION, nodes, prev_response="y")
    with pytest.raises(InputError, match="expected a RagPipeline"):
        UniMoERQueryEngine("handbook")  # type: ignore[arg-type]
    assert made.get_prompts() == {}


# A whole pipeline


@pytest.mark.slow
async def test_a_pipeline_as_a_query_engine(handbook: UnifiedRetriever, events: Events) -> None:
    pipeline = RagPipeline(handbook, n_read=2)
    answer = pipeline.answer(QUESTION)
    engine = pipeline.as_llama_index()
    for response in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert str(response) == answer.text
        found = response.source_nodes
        assert {one.node_id for one in found} == {hit.id for hit in answer.hits}
        best = answer.citations[0]
        assert found[0].node_id == best.hit.id
        said: Any = found[0].node
        assert said.start_char_idx + said.metadata["quote_start"] == best.start
        assert said.metadata["quote_end"] - said.metadata["quote_start"] == best.end - best.start
        assert response.metadata is not None
        assert response.metadata["timings"].keys() == answer.timings.keys()
    assert str(engine.query(UNKNOWN)) == "Empty Response"
    assert len(events.of(QueryStartEvent)) == len(events.of(QueryEndEvent)) == 3
    streaming = pipeline.as_llama_index(streaming=True)
    response = streaming.query(QUESTION)
    assert str(response) == answer.text
    awaited: Any = await streaming.aquery(QUESTION)
    assert [piece async for piece in awaited.async_response_gen()] == [answer.text]
    for other in (response, awaited):
        assert other.source_nodes[0].node_id == best.hit.id
        assert other.metadata["answered"]


def test_a_pipelines_filters(handbook: UnifiedRetriever) -> None:
    pipeline = RagPipeline(handbook, n_read=2)
    only = MetadataFilters(filters=[MetadataFilter(key="source", value="store-hours.md")])
    for filters in (only, {"source": "store-hours.md"}):
        response = pipeline.as_llama_index(filters=filters).query(QUESTION)
        assert {node.metadata["source"] for node in response.source_nodes} == {"store-hours.md"}
    with pytest.raises(InputError, match="'source' is an empty list"):
        pipeline.as_llama_index(filters={"source": []})


# In an agent


class Acts(CustomLLM):
    """Asks the handbook, then tells what the tool said."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        last = str(messages[-1].content)
        if "Observation: " in last:
            text = f"Thought: I can answer.\nAnswer: They take {last.split('Observation: ')[1]}."
        else:
            text = (
                'Thought: I look it up.\nAction: handbook\nAction Input: {"input": "' + last + '"}'
            )
        return ChatResponse(message=ChatMessage(role="assistant", content=text), delta=text)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        async def told() -> Any:
            yield await self.achat(messages)

        return told()


@pytest.mark.slow
async def test_a_tool_of_an_agent(handbook: UnifiedRetriever) -> None:
    tool = QueryEngineTool.from_defaults(
        RagPipeline(handbook, n_read=2).as_llama_index(),
        name="handbook",
        description="The handbook.",
    )
    said = await ReActAgent(tools=[tool], llm=Acts(), streaming=False).run(QUESTION)
    text = RagPipeline(handbook, n_read=2).answer(QUESTION).text
    assert str(said) == f"They take {text}."
    assert said.tool_calls[0].tool_output.raw_output.source_nodes[0].metadata["quote"] == text
