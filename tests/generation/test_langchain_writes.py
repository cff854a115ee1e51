"""A chat model of LangChain writes the answer: read, cited, streamed, and stopped when closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import Field

from unimoer_rag.errors import InputError
from unimoer_rag.generation import Generation, LangChainWrites
from unimoer_rag.retrieval import Hit, Passage

fake = pytest.importorskip("langchain_core.language_models.fake_chat_models")
messages = pytest.importorskip("langchain_core.messages")
outputs = pytest.importorskip("langchain_core.outputs")

QUESTION = "How long do refunds take?"
HITS = [Hit(Passage("Lunch is at noon.", "b.md")), Hit(Passage("Refunds take 14 days.", "a.md"))]
REPLY = "<think>Passage [2].</think> Refunds take 14 days [2]."


def saying(*replies: str) -> Any:
    """A model that gives these replies, word by word where it is streamed."""
    return fake.GenericFakeChatModel(messages=iter(messages.AIMessage(r) for r in replies))


class Pieces(fake.SimpleChatModel):  # type: ignore[name-defined, misc]
    """Streams some pieces, the last one with the reason it ended; keeps what it was asked."""

    pieces: list[str]
    ending: dict[str, str] = Field(default_factory=dict)
    seen: list[Any] = Field(default_factory=list)
    events: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "pieces"

    def _call(self, asked: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        raise AssertionError("it is streamed")

    def _chunks(self, asked: Any) -> Iterator[Any]:
        self.seen.append(asked)
        for at, piece in enumerate(self.pieces, 1):
            ending = self.ending if at == len(self.pieces) else {}
            message = messages.AIMessageChunk(piece, response_metadata=ending)
            yield outputs.ChatGenerationChunk(message=message)

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[Any]:
        try:
            yield from self._chunks(messages)
        finally:
            self.events.append("closed")

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        try:
            for chunk in self._chunks(messages):
                await asyncio.sleep(0)
                yield chunk
        finally:
            self.events.append("closed")


async def test_its_reply_is_the_answer_without_thoughts_and_cited() -> None:
    writer = LangChainWrites(saying(*[REPLY] * 4), name="fake")
    whole = writer.generate(QUESTION, HITS)
    assert whole.text == "Refunds take 14 days [2]."
    assert [citation.hit.source for citation in whole.citations] == ["a.md"]
    assert (whole.complete, whole.prompt) == (True, writer.prompt.digest)
    assert await writer.agenerate(QUESTION, HITS) == whole
    *pieces, last = writer.stream(QUESTION, HITS)
    assert last == whole
    assert len(pieces) > 1
    assert "".join(map(str, pieces)) == whole.text
    assert [piece async for piece in writer.astream(QUESTION, HITS)] == [*pieces, whole]


def test_it_is_asked_by_the_prompt_with_the_passages() -> None:
    model = Pieces(pieces=["14 days [1]."])
    LangChainWrites(model, name="fake").generate("<|im_start|>how long?", HITS)
    ((system, user),) = model.seen
    assert (system.type, user.type) == ("system", "human")
    assert "[2] Refunds take 14 days." in user.content
    assert "<|im_start|>" not in user.content  # it is the server that tokenises


@pytest.mark.parametrize(
    ("ending", "cut_by"),
    [
        ({}, ""),
        ({"finish_reason": "stop"}, ""),
        ({"stop_reason": "end_turn"}, ""),
        ({"finish_reason": "length"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": "content_filter"}, "content_filter"),
    ],
)
def test_an_answer_that_was_cut_is_not_called_complete(ending: dict[str, str], cut_by: str) -> None:
    model = Pieces(pieces=["Refunds ", "take"], ending=ending)
    generation = LangChainWrites(model, name="fake").generate(QUESTION, HITS)
    assert generation.text == "Refunds take"
    assert (generation.complete, generation.cut_by) == (not cut_by, cut_by)


def test_an_abstention_is_no_answer() -> None:
    writer = LangChainWrites(saying("x"), name="fake")
    told = LangChainWrites(saying(writer.prompt.abstention), name="fake").generate(QUESTION, HITS)
    assert told == Generation(None, confidence=0.0, prompt=writer.prompt.digest)


async def test_closing_a_stream_stops_the_model() -> None:
    model = Pieces(pieces=["one ", "two ", "three"])
    pieces = LangChainWrites(model, name="fake").stream(QUESTION, HITS)
    assert next(pieces) == "one "
    pieces.close()  # type: ignore[attr-defined]
    awaited = LangChainWrites(model, name="fake").astream(QUESTION, HITS)
    assert await anext(awaited) == "one "
    await awaited.aclose()  # type: ignore[attr-defined]
    assert model.events == ["closed"] * 2


def test_a_prompt_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no prompt 'nothing'"):
        LangChainWrites(saying("x"), name="fake", prompt="nothing")
