"""Whoever writes, asked in every way: one with `generate` alone, one that can be awaited."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from unimoer_rag.errors import GeneratorRefusedError
from unimoer_rag.generation import (
    ChatServer,
    ExtractiveReader,
    Generation,
    Generator,
    LangChainWrites,
    Writer,
    Writes,
)
from unimoer_rag.generation.doors import Doors, all_doors
from unimoer_rag.generation.types import Piece
from unimoer_rag.generation.writer import Reply
from unimoer_rag.retrieval import Hit, Passage
from unimoer_rag.steps import Streamed, apart

HITS = [Hit(Passage("Refunds take 14 days.", "a.md"))]


class Quotes:
    """A generator with one method, which remembers the threads it was asked in."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        self.threads.append(threading.get_ident())
        return Generation(hits[0].text if hits else None)


class Awaited(Quotes):
    """One that can be awaited too."""

    stage, model = "quote", "quoting"

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        return self.generate(question, hits)


class Counting(Doors):
    """Says two pieces, with a step between them."""

    def pieces(self, question: str, hits: Sequence[Hit]) -> Streamed[Piece]:
        yield "one "
        yield (yield from apart(str, "two"))
        yield Generation("one two")


async def test_one_method_is_enough() -> None:
    own = Quotes()
    writer = all_doors(own)
    whole = Generation("Refunds take 14 days.")
    assert writer.stage == "generate"
    assert writer.generate("how long?", HITS) == whole
    assert await writer.agenerate("how long?", HITS) == whole
    assert list(writer.stream("how long?", HITS)) == [whole.text, whole]
    assert [piece async for piece in writer.astream("how long?", HITS)] == [whole.text, whole]
    assert list(writer.stream("how long?", [])) == [Generation(None)]  # nothing to tell before
    here = threading.get_ident()
    assert [thread == here for thread in own.threads] == [True, False, True, False, True]


async def test_its_own_agenerate_stage_and_model_are_taken() -> None:
    own = Awaited()
    writer = all_doors(own)
    assert (writer.stage, writer.model) == ("quote", "quoting")  # type: ignore[attr-defined]
    await writer.agenerate("how long?", HITS)
    assert own.threads == [threading.get_ident()]  # on the event loop, as it said


async def test_the_whole_is_made_of_pieces() -> None:
    told: list[Piece] = ["one ", "two", Generation("one two")]
    assert list(Counting().stream("how long?", HITS)) == told
    assert [piece async for piece in Counting().astream("how long?", HITS)] == told
    assert Counting().generate("how long?", HITS) == told[-1]
    assert await Counting().agenerate("how long?", HITS) == told[-1]


class Silent:
    """A language model that says nothing."""

    name = "silent"

    def begin(self, messages: list[dict[str, str]]) -> Reply:
        raise GeneratorRefusedError("nothing to say")


@pytest.mark.parametrize(
    "writer",
    [
        ExtractiveReader(None),
        ChatServer("http://127.0.0.1:9/v1"),
        Writer(Silent()),  # as of a LocalLLM, a ResidentLLM or a VllmEngine
        LangChainWrites(None, name="none"),
    ],
    ids=lambda writer: type(writer).__name__,
)
def test_ours_are_asked_themselves(writer: Writes) -> None:
    assert isinstance(writer, Generator)
    assert all_doors(writer) is writer


async def test_what_fails_fails_in_every_way() -> None:
    writer = Writer(Silent())
    with pytest.raises(GeneratorRefusedError, match="nothing to say"):
        writer.generate("how long?", HITS)
    with pytest.raises(GeneratorRefusedError, match="nothing to say"):
        await writer.agenerate("how long?", HITS)
    with pytest.raises(GeneratorRefusedError, match="nothing to say"):
        list(writer.stream("how long?", HITS))
    with pytest.raises(GeneratorRefusedError, match="nothing to say"):
        await anext(writer.astream("how long?", HITS))
