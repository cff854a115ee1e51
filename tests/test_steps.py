"""Steps: both drivers do the same, and what fails, is cancelled or closed reaches the steps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from functools import partial

import pytest

from unimoer_rag.steps import (
    Source,
    Steps,
    Streamed,
    apart,
    arun,
    astream,
    either,
    result,
    results,
    run,
    stream,
)


def done(value: int) -> Future[int]:
    future: Future[int] = Future()
    future.set_result(value)
    return future


def total() -> Steps[int]:
    one = yield from apart(int, "1")
    two = yield from result(done(2))
    more = yield from results([done(3), done(4)])
    return one + two + sum(more)


async def collected(steps: Streamed[int]) -> list[int]:
    return [piece async for piece in astream(steps)]


def test_both_drivers_come_to_the_same() -> None:
    assert run(total()) == asyncio.run(arun(total())) == 10


def test_steps_that_wait_for_nothing() -> None:
    def none() -> Steps[str]:
        return "at once"
        yield from apart(str)

    assert run(none()) == asyncio.run(arun(none())) == "at once"


def test_work_apart_is_done_here_by_run_and_in_a_thread_by_arun() -> None:
    assert run(apart(threading.get_ident)) == threading.get_ident()
    assert asyncio.run(arun(apart(threading.get_ident))) != threading.get_ident()


def test_the_twin_that_fits_is_asked_with_the_same_arguments() -> None:
    def blocking(word: str, *, n: int) -> str:
        return f"blocking {word * n}"

    async def awaited(word: str, *, n: int) -> str:
        return f"awaited {word * n}"

    assert run(either(blocking, awaited, "a", n=2)) == "blocking aa"
    assert asyncio.run(arun(either(blocking, awaited, "a", n=2))) == "awaited aa"


def test_what_fails_can_be_caught_by_the_steps() -> None:
    def careful() -> Steps[str]:
        try:
            yield from apart(int, "no number")
        except ValueError:
            return (yield from apart(str, "caught"))
        return "not reached"

    assert run(careful()) == asyncio.run(arun(careful())) == "caught"


def test_what_fails_is_raised_once_the_steps_have_cleaned_up() -> None:
    ended: list[str] = []

    def failing() -> Steps[int]:
        try:
            return (yield from apart(int, "no number"))
        finally:
            yield from apart(ended.append, "cleaned up")

    with pytest.raises(ValueError, match="no number"):
        run(failing())
    with pytest.raises(ValueError, match="no number"):
        asyncio.run(arun(failing()))
    assert ended == ["cleaned up"] * 2


async def test_cancelling_reaches_the_steps_and_the_future() -> None:
    begun: Future[int] = Future()
    seen: list[type[BaseException]] = []

    def waiting() -> Steps[int]:
        try:
            return (yield from result(begun))
        except BaseException as error:
            seen.append(type(error))
            raise

    task = asyncio.create_task(arun(waiting()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [asyncio.CancelledError]
    assert begun.cancelled()


class Numbers:
    """A source of numbers that says when it is closed."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def blocking(self) -> Iterator[int]:
        try:
            yield from (1, 2, 3)
        finally:
            self.events.append("closed")

    async def awaited(self) -> AsyncIterator[int]:
        try:
            for number in (1, 2, 3):
                yield number
        finally:
            await asyncio.sleep(0)  # an end that has to be waited for
            self.events.append("closed")

    def doubled(self) -> Streamed[int]:
        source = Source(self.blocking, self.awaited)
        try:
            while (number := (yield from source.next())) is not None:
                yield 2 * number
        finally:
            yield from source.close()
            yield from apart(self.events.append, "ended")


def test_both_drivers_stream_the_same() -> None:
    numbers = Numbers()
    assert list(stream(numbers.doubled())) == asyncio.run(collected(numbers.doubled())) == [2, 4, 6]
    assert numbers.events == ["closed", "ended"] * 2


def test_a_closed_stream_does_its_last_steps() -> None:
    numbers = Numbers()
    pieces = stream(numbers.doubled())
    assert next(pieces) == 2
    pieces.close()
    assert numbers.events == ["closed", "ended"]


async def test_a_closed_stream_awaits_its_last_steps() -> None:
    numbers = Numbers()
    pieces = astream(numbers.doubled())
    assert await anext(pieces) == 2
    await pieces.aclose()
    assert numbers.events == ["closed", "ended"]


def test_a_stream_that_nobody_reads_makes_no_source() -> None:
    numbers = Numbers()
    stream(numbers.doubled()).close()
    assert numbers.events == []


def test_a_source_that_was_never_asked_closes_quietly() -> None:
    source = Source(partial(iter, [1]), Numbers().awaited)
    assert run(source.close()) is None
    assert asyncio.run(arun(source.close())) is None
    assert run(source.next()) == 1
    assert run(source.close()) is None  # no generator
