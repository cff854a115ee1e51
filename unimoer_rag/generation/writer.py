"""Answers in a language model's own words: a prompt, a model, and every way to ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Protocol, cast

from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.generation.spoken import SpokenText, WholeCharacters
from unimoer_rag.generation.types import Generation, Piece
from unimoer_rag.retrieval import Hit

__all__ = ["LanguageModel", "Reply", "Writer"]


class Reply(Protocol):
    """What a language model says, as it says it."""

    @property
    def complete(self) -> bool:
        """Whether it ended by itself, not at a limit; known at its end."""

    def more(self) -> Future[str | None]:
        """The text that comes next (it may be empty), or None at the end; one call at a time."""

    def close(self) -> None:
        """Stop it: nothing more is wanted. Closing twice, or at the end, is harmless."""


class LanguageModel(Protocol):
    """Continues a conversation; may be asked from any thread."""

    @property
    def name(self) -> str:
        """What it goes by."""

    def begin(self, messages: list[dict[str, str]]) -> Reply:
        """A reply to a conversation of messages with `role` and `content`.

        Raises:
            GenerationError: the model cannot reply, or not to this.
        """


class Writer:
    """Answers from passages by a language model in this process.

    Args:
        model: a `LocalLLM`, a `ResidentLLM` or a `VllmEngine`.
        prompt: a prompt, its file, or the name of one that ships.

    Raises:
        InputError: there is no such prompt, or it is malformed.

    >>> Writer(LocalLLM("./qwen3-0.6b")).generate(question, hits).text   # doctest: +SKIP
    'Refunds take 14 days [1].'
    """

    def __init__(self, model: LanguageModel, *, prompt: Prompt | str | Path = "cited") -> None:
        self.model = model
        self.prompt = prompt if isinstance(prompt, Prompt) else Prompt.load(prompt)

    @property
    def stage(self) -> str:
        """What its work is called in timings and traces."""
        return "generate"

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """The model's answer.

        Raises:
            GeneratorRefusedError: the prompt does not fit into the model's context.
            GenerationError: the model failed.
        """
        *_, whole = self.stream(question, hits)
        return cast(Generation, whole)

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """`generate` without blocking the event loop; cancelling it stops the model."""
        *_, whole = [piece async for piece in self.astream(question, hits)]
        return cast(Generation, whole)

    def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
        """Pieces of the answer as they come, then the whole; raises as `generate` does.

        Closing the iterator stops the model.
        """
        words = _Words()
        with closing(self._begin(question, hits)) as reply:
            while (piece := reply.more().result()) is not None:
                if said := words.take(piece):
                    yield said
        if said := words.end():
            yield said
        yield self._read(words, hits, reply)

    async def astream(self, question: str, hits: Sequence[Hit]) -> AsyncIterator[Piece]:
        """`stream` without blocking the event loop."""
        words = _Words()
        # Tokenising a long prompt takes a while too.
        with closing(await asyncio.to_thread(self._begin, question, hits)) as reply:
            while (piece := await asyncio.wrap_future(reply.more())) is not None:
                if said := words.take(piece):
                    yield said
        if said := words.end():
            yield said
        yield self._read(words, hits, reply)

    def _begin(self, question: str, hits: Sequence[Hit]) -> Reply:
        return self.model.begin(self.prompt.messages(question, hits))

    def _read(self, words: _Words, hits: Sequence[Hit], reply: Reply) -> Generation:
        cut_by = "" if reply.complete else "length"
        return self.prompt.read("".join(words.pieces), hits, cut_by=cut_by)


class _Words:
    """A reply as it comes: all of it in `pieces`, and of the answer what is to be told."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._characters, self._spoken = WholeCharacters(), SpokenText()

    def take(self, piece: str) -> str:
        """The words of the answer that are known with this piece."""
        text = self._characters.take(piece)
        self.pieces.append(text)
        return self._spoken.take(text)

    def end(self) -> str:
        """Those that were held back until its end."""
        text = self._characters.end()
        self.pieces.append(text)
        return self._spoken.take(text) + self._spoken.end()
