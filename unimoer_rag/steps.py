"""One step, two drivers: what is done blocking and awaited alike is written once, as a generator.

The generator yields a `Step` wherever it has to wait, and gets what came of it; or it fails there
with what failed, a cancelled task included. `run` and `stream` do the steps in the thread that
asks, `arun` and `astream` on an event loop. Steps are made by the functions here, for `yield from`:

>>> def length(word: str) -> Steps[int]:
...     text = yield from apart(word.strip)
...     return len(text)
>>> run(length(" five ")), asyncio.run(arun(length(" five ")))
(4, 4)
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Sequence,
)
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, cast

__all__ = [
    "Source",
    "Step",
    "Steps",
    "Streamed",
    "apart",
    "arun",
    "astream",
    "either",
    "result",
    "results",
    "run",
    "stream",
]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """Something to wait for, and both ways to."""

    blocking: Callable[[], Any]
    awaited: Callable[[], Awaitable[Any]]


Steps: TypeAlias = Generator[Step, Any, T]
"""What comes to a `T`, by steps."""

Streamed: TypeAlias = Generator[Step | T, Any, None]
"""What gives one `T` after another, with steps between them."""


# -- steps ------------------------------------------------------------------------------------


def either(
    blocking: Callable[P, T],
    awaited: Callable[P, Awaitable[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Steps[T]:
    """A function that has an awaited twin: what the one gives that fits the driver."""
    answer: T = yield Step(
        partial(blocking, *args, **kwargs),
        partial(awaited, *args, **kwargs),
    )
    return answer


def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    """Work that takes a while: an event loop has it done by a thread."""
    here = partial(work, *args, **kwargs)
    answer: T = yield Step(here, partial(asyncio.to_thread, here))
    return answer


def result(future: Future[T]) -> Steps[T]:
    """What a future comes to; cancelling whoever awaits it cancels it."""
    return either(future.result, partial(asyncio.wrap_future, future))


def results(futures: Sequence[Future[T]]) -> Steps[list[T]]:
    """What futures come to, in their order."""

    async def awaited() -> list[T]:
        return await asyncio.gather(*map(asyncio.wrap_future, futures))

    return either(lambda: [future.result() for future in futures], awaited)


class Source(Generic[T]):
    """An iterator that has an awaited twin; the one that fits the driver is made and asked.

    Args:
        blocking: makes the iterator.
        awaited: makes its twin.
    """

    def __init__(
        self, blocking: Callable[[], Iterator[T]], awaited: Callable[[], AsyncIterator[T]]
    ) -> None:
        self._make, self._amake = blocking, awaited
        self._made: Iterator[T] | None = None
        self._amade: AsyncIterator[T] | None = None

    @classmethod
    def of(cls, steps: Callable[[], Streamed[T]]) -> Source[T]:
        """What steps give, as another source."""
        return cls(lambda: stream(steps()), lambda: astream(steps()))

    def next(self) -> Steps[T | None]:
        """What comes next; None at the end."""
        return either(self._next, self._anext)

    def close(self) -> Steps[None]:
        """End it: nothing more is wanted. What is no generator has no end of its own."""
        return either(self._close, self._aclose)

    def _next(self) -> T | None:
        if self._made is None:
            self._made = iter(self._make())
        return next(self._made, None)

    async def _anext(self) -> T | None:
        if self._amade is None:
            self._amade = aiter(self._amake())
        return await anext(self._amade, None)

    def _close(self) -> None:
        if isinstance(self._made, Generator):
            self._made.close()

    async def _aclose(self) -> None:
        if isinstance(self._amade, AsyncGenerator):
            await self._amade.aclose()


# -- drivers ----------------------------------------------------------------------------------
#
# What fails is thrown into the steps, so that their own `with` and `except` see it; they raise it
# again or go on. Closing a stream throws GeneratorExit into them the same way, which lets them wait
# for their last steps: `steps.close()` would not.


def run(steps: Steps[T]) -> T:
    """Do the steps in this thread."""
    try:
        step = next(steps)
        while True:
            try:
                answer = step.blocking()
            except BaseException as error:  # noqa: BLE001 - the steps'
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return cast(T, end.value)


async def arun(steps: Steps[T]) -> T:
    """Do the steps without blocking the event loop."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await step.awaited()
            except BaseException as error:  # noqa: BLE001 - the steps'
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return cast(T, end.value)


def stream(steps: Streamed[T]) -> Generator[T, None, None]:
    """`run`, giving what comes between the steps; closing this ends the steps."""
    try:
        step = next(steps)
        while True:
            try:
                answer = step.blocking() if isinstance(step, Step) else (yield step)
            except BaseException as error:  # noqa: BLE001 - the steps'
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration:
        return


async def astream(steps: Streamed[T]) -> AsyncGenerator[T, None]:
    """`stream` without blocking the event loop."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await step.awaited() if isinstance(step, Step) else (yield step)
            except BaseException as error:  # noqa: BLE001 - the steps'
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration:
        return
