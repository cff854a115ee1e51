"""A pipeline in a conversation: what is looked for, who made it, and what the answer says of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from generation.faulty_server import Answer as Served
from generation.faulty_server import Faulty, faulty_server, status, stream, whole
from shop import QUESTION

from unimoer_rag.errors import GenerationError, InputError
from unimoer_rag.generation import ChatServer, Generation
from unimoer_rag.pipelines import Answer, PipelineConfig, RagPipeline
from unimoer_rag.retrieval import Hit
from unimoer_rag.retrieval.retriever import UnifiedRetriever

HISTORY = [("Where is lunch served?", "in the canteen"), (QUESTION, "fourteen days")]
STANDALONE = "Where do they go (refunds)?"


class Heard:
    """Says what it is asked."""

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        return Generation(question)


async def _all_ways(pipeline: RagPipeline, question: str) -> list[Answer]:
    streamed = list(pipeline.stream(question, history=HISTORY))[-1]
    awaited = [piece async for piece in pipeline.astream(question, history=HISTORY)][-1]
    assert isinstance(streamed, Answer)
    assert isinstance(awaited, Answer)
    return [
        pipeline.answer(question, history=HISTORY),
        await pipeline.aanswer(question, history=HISTORY),
        streamed,
        awaited,
    ]


@pytest.mark.slow
def test_the_question_of_its_own_is_looked_for_and_answered(retriever: UnifiedRetriever) -> None:
    pipeline = RagPipeline(retriever, generator=Heard())
    for answer in asyncio.run(_all_ways(pipeline, "Where do they go?")):
        assert (answer.question, answer.standalone) == ("Where do they go?", STANDALONE)
        assert answer.text == STANDALONE
        assert answer.hits[0].source == "shop/returns.md"
        assert next(iter(answer.timings)) == "condense"
        assert json.loads(json.dumps(answer.to_dict()))["standalone"] == STANDALONE
    alone = pipeline.answer("Where is parking free?", history=HISTORY)
    assert (alone.standalone, alone.text) == (None, "Where is parking free?")
    assert "condense" in alone.timings
    assert "condense" not in pipeline.answer("Where do they go?").timings


@pytest.mark.slow
def test_answers_are_a_history(retriever: UnifiedRetriever) -> None:
    pipeline = RagPipeline(retriever, generator=Heard())
    said: list[Answer] = []
    for question in (QUESTION, "Where do they go?", "And to a gift card?"):
        said.append(pipeline.answer(question, history=said))
    # The rules have the last standalone question to go by, not the words of the follow-up.
    assert [a.standalone is None for a in said] == [True, False, False]
    assert "refunds" in str(said[1].standalone)


def test_nothing_is_made_of_it_where_that_is_off(retriever: UnifiedRetriever) -> None:
    pipeline = RagPipeline(retriever, generator=Heard(), follow_up="none")
    answer = pipeline.answer("Where do they go?", history=HISTORY)
    assert (answer.text, answer.standalone) == ("Where do they go?", None)


def test_wrong_values_are_refused_at_once(retriever: UnifiedRetriever) -> None:
    with pytest.raises(InputError, match="follow_up is 'maybe': expected one of auto, rules"):
        RagPipeline(retriever, follow_up="maybe")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'model', but ExtractiveReader is no language model"):
        RagPipeline(retriever, follow_up="model")
    pipeline = RagPipeline(retriever)
    for ask in (pipeline.answer, pipeline.stream, pipeline.astream):
        with pytest.raises(InputError, match=r"history\[0\] is a int"):
            ask(QUESTION, history=[7])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"history\[0\] is a int"):
        asyncio.run(pipeline.aanswer(QUESTION, history=[7]))  # type: ignore[list-item]
    assert PipelineConfig(follow_up="none").follow_up == "none"


# -- by the model ---------------------------------------------------------------------------


def _asked(server: Faulty, at: int) -> str:
    return str(server.requests[at]["messages"][-1]["content"]).strip()


@pytest.mark.slow
def test_the_model_that_answers_words_the_question(retriever: UnifiedRetriever) -> None:
    with faulty_server() as server:
        made = whole('<think>They?</think> "Where do refunds go?"')
        server.answers = [made, whole("To the card [1]."), made, stream("To ", "the card [1].")]
        pipeline = RagPipeline(retriever, generator=ChatServer(server.url, "tiny"))
        answer = pipeline.answer("Where do they go?", history=HISTORY)
        assert (answer.standalone, answer.text) == ("Where do refunds go?", "To the card [1].")
        *pieces, last = pipeline.stream("Where do they go?", history=HISTORY)
        assert pieces == ["To ", "the card [1]."]
        assert isinstance(last, Answer)
        assert last.standalone == "Where do refunds go?"
        assert len(server.requests) == 4  # one more for each answer
    assert "Question: How long do refunds take?\nAnswer: fourteen days" in _asked(server, 0)
    assert _asked(server, 0).endswith("Last question: Where do they go?")
    assert _asked(server, 1).endswith("Question: Where do refunds go?")


@pytest.mark.slow
@pytest.mark.parametrize(
    "reply",
    [whole(""), whole("To the card."), whole("a?\nb?"), whole("x" * 500 + "?"), status(400, "no")],
    ids=["empty", "an answer", "two lines", "too long", "refused"],
)
def test_a_broken_rewriting_is_left_to_the_rules(
    retriever: UnifiedRetriever, reply: Served
) -> None:
    with faulty_server() as server:
        server.answers = [reply, whole("To the card [1].")]
        pipeline = RagPipeline(retriever, generator=ChatServer(server.url, "tiny"))
        answer = pipeline.answer("Where do they go?", history=HISTORY)
        assert (answer.standalone, answer.text) == (STANDALONE, "To the card [1].")
        assert len(server.requests) == 2


@pytest.mark.slow
def test_the_rules_ask_no_model(retriever: UnifiedRetriever) -> None:
    with faulty_server() as server:
        server.answers = [whole("To the card [1].")]
        chat = ChatServer(server.url, "tiny")
        by_rules = RagPipeline(retriever, generator=chat, follow_up="rules")
        assert by_rules.answer("Where do they go?", history=HISTORY).standalone == STANDALONE
        # Nothing was said before: there is nothing to make of it.
        first = RagPipeline(retriever, generator=chat).answer(QUESTION, history=[])
        assert first.standalone is None
        assert len(server.requests) == 2


@pytest.mark.slow
def test_a_server_that_fails_is_told_of_by_the_answer(retriever: UnifiedRetriever) -> None:
    with faulty_server() as server:
        server.answers = [status(401)]
        pipeline = RagPipeline(retriever, generator=ChatServer(server.url, "tiny"))
        with pytest.raises(GenerationError, match="API key"):
            pipeline.answer("Where do they go?", history=HISTORY)
