"""Answers in a language model's own words: a prompt, a model, and every way to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Protocol

from unimoer_rag.generation.doors import ChatDoors
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.generation.spoken import ReplyWords
from unimoer_rag.generation.types import Piece
from unimoer_rag.retrieval import Hit
from unimoer_rag.steps import Steps, Streamed, apart, result

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


class Writer(ChatDoors):
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

    def pieces(self, question: str, hits: Sequence[Hit]) -> Streamed[Piece]:
        """See `Doors.pieces`."""
        words = ReplyWords()
        # Tokenising a long prompt takes a while too.
        with closing((yield from apart(self._begin, self._messages(question, hits)))) as reply:
            while (piece := (yield from result(reply.more()))) is not None:
                if said := words.take(piece):
                    yield said
        if said := words.end():
            yield said
        yield self.prompt.read(words.text, hits, cut_by="" if reply.complete else "length")

    def replied(self, messages: Sequence[Mapping[str, str]]) -> Steps[str]:
        """See `ChatDoors.replied`."""
        text = ""
        with closing((yield from apart(self._begin, messages))) as reply:
            while (piece := (yield from result(reply.more()))) is not None:
                text += piece
        return text

    def _messages(self, question: str, hits: Sequence[Hit]) -> list[dict[str, str]]:
        return self.prompt.messages(question, hits)

    def _begin(self, messages: Sequence[Mapping[str, str]]) -> Reply:
        return self.model.begin([dict(message) for message in messages])
