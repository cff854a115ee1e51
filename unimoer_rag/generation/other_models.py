"""Chat models of other libraries behind the port `Writes`.

They take the live object, so none of the libraries is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from unimoer_rag.generation.chat_message import reason_of
from unimoer_rag.generation.doors import ChatDoors
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.generation.spoken import ReplyWords
from unimoer_rag.generation.types import Piece
from unimoer_rag.retrieval import Hit
from unimoer_rag.steps import Source, Steps, Streamed, either

__all__ = ["LangChainWrites"]


class LangChainWrites(ChatDoors):
    """Any chat model of LangChain, asked by its own `stream` and `astream`.

    What it raises comes through as it is.

    Args:
        chat_model: a `BaseChatModel`, or another runnable from messages to a message.
        name: what timings and traces call it.
        prompt: a prompt, its file, or the name of one that ships.

    Raises:
        InputError: there is no such prompt, or it is malformed.

    >>> writer = LangChainWrites(ChatOpenAI(), name="gpt")             # doctest: +SKIP
    >>> RagPipeline(retriever, generator=writer)                       # doctest: +SKIP
    """

    def __init__(
        self, chat_model: Any, *, name: str, prompt: Prompt | str | Path = "cited"
    ) -> None:
        self._chat_model, self.model = chat_model, name
        self.prompt = prompt if isinstance(prompt, Prompt) else Prompt.load(prompt)

    def pieces(self, question: str, hits: Sequence[Hit]) -> Streamed[Piece]:
        """See `Doors.pieces`."""
        messages = self.prompt.messages(question, hits, harmless=True)
        chunks: Source[Any] = Source(
            partial(self._chat_model.stream, messages), partial(self._chat_model.astream, messages)
        )
        words, reason = ReplyWords(), None
        try:
            while (chunk := (yield from chunks.next())) is not None:
                reason = reason_of(_ending(chunk)) or reason
                if said := words.take(str(chunk.text)):
                    yield said
        finally:
            yield from chunks.close()
        if said := words.end():
            yield said
        cut_by = "" if reason in (None, "stop") else reason or ""
        yield self.prompt.read(words.text, hits, cut_by=cut_by)

    def replied(self, messages: Sequence[Mapping[str, str]]) -> Steps[str]:
        """See `ChatDoors.replied`."""
        asked = [dict(message) for message in messages]
        said: Any = yield from either(self._chat_model.invoke, self._chat_model.ainvoke, asked)
        return str(said.text)


def _ending(chunk: Any) -> dict[str, Any]:
    """What a chunk says of why the reply ended; providers call it by either name."""
    told = chunk.response_metadata
    return {"finish_reason": told.get("finish_reason") or told.get("stop_reason")}
