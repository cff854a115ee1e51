"""The four ways to ask a generator, of one that says by steps how it answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

from unimoer_rag.generation.types import Generation, Generator, Piece, Writes
from unimoer_rag.retrieval import Hit
from unimoer_rag.steps import Source, Steps, Streamed, apart, arun, astream, either, run, stream

__all__ = ["ChatDoors", "Doors", "all_doors"]


class Doors:
    """A `Generator` by what its subclass has of `whole` and `pieces`, one of them or both."""

    @property
    def stage(self) -> str:
        """What its work is called in timings and traces."""
        return "generate"

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """The answer to a question from passages.

        Raises:
            GeneratorUnavailableError: no server or engine answers, or it stays overloaded.
            GeneratorRefusedError: it refuses the key, the model or the prompt, or the prompt does
                not fit into the model's context.
            GenerationError: what answers makes no sense, or it failed or broke off.
        """
        return run(self.whole(question, hits))

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """`generate` without blocking the event loop; cancelling it stops the generator."""
        return await arun(self.whole(question, hits))

    def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
        """Pieces of the answer as they come, then the whole; raises as `generate` does.

        Closing the iterator stops the generator.
        """
        return stream(self.pieces(question, hits))

    def astream(self, question: str, hits: Sequence[Hit]) -> AsyncIterator[Piece]:
        """`stream` without blocking the event loop."""
        return astream(self.pieces(question, hits))

    def whole(self, question: str, hits: Sequence[Hit]) -> Steps[Generation]:
        """`generate` by steps; here, what `pieces` ends with."""
        source: Source[Piece] = Source.of(partial(self.pieces, question, hits))
        last: Piece | None = None
        while (piece := (yield from source.next())) is not None:
            last = piece
        return cast(Generation, last)

    def pieces(self, question: str, hits: Sequence[Hit]) -> Streamed[Piece]:
        """`stream` by steps; here, the text of `whole` in one piece."""
        whole = yield from self.whole(question, hits)
        if whole.text is not None:
            yield whole.text
        yield whole


class ChatDoors(Doors):
    """`Doors` of a language model, which `Replies` to other messages too."""

    def reply(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The model's reply to messages with `role` and `content`, thoughts included.

        Raises:
            GenerationError: see `generate`.
        """
        return run(self.replied(messages))

    async def areply(self, messages: Sequence[Mapping[str, str]]) -> str:
        """`reply` without blocking the event loop."""
        return await arun(self.replied(messages))

    @abstractmethod
    def replied(self, messages: Sequence[Mapping[str, str]]) -> Steps[str]:
        """`reply` by steps."""


def all_doors(writer: Writes) -> Generator:
    """Whoever writes, to be asked in every way: itself, where it can.

    One that cannot is asked by `generate`: awaited in a thread, or by its own `agenerate`, and
    streamed in one piece.
    """
    return writer if isinstance(writer, Generator) else _Own(writer)


class _Own(Doors):
    def __init__(self, writer: Writes) -> None:
        self._writer = writer
        self.model: object = getattr(writer, "model", None)

    @property
    def stage(self) -> str:
        return str(getattr(self._writer, "stage", super().stage))

    def whole(self, question: str, hits: Sequence[Hit]) -> Steps[Generation]:
        own: Callable[..., Awaitable[Generation]] | None = getattr(self._writer, "agenerate", None)
        if own is None:
            return apart(self._writer.generate, question, hits)
        return either(self._writer.generate, own, question, hits)
