"""Nobody waits for ever: callbacks that ask again, engines dropped in their own threads, forks."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from unimoer_rag.engine import Engine
from unimoer_rag.engine.answers import Callbacks
from unimoer_rag.engine.worker import Worker
from unimoer_rag.errors import UnimoerError
from unimoer_rag.model.home import Home
from unimoer_rag.model.tasks.jobs import Job, embedding
from unimoer_rag.model.unimoer import UniMoER

Script = Callable[[str], Any]


def called(future: Future[Any], function: Callable[[], Any]) -> Any:
    """What a callback of a future gives, or raises."""
    outcome: Future[Any] = Future()

    def run(_: Future[Any]) -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001
            outcome.set_exception(error)

    future.add_done_callback(run)
    return outcome.result(60)


def one(engine: Engine, text: str = "one") -> Future[Any]:
    return engine.submit(embedding(engine.model, [text], "document"))


def test_a_callback_may_ask_again(engine: Engine) -> None:
    assert called(one(engine), lambda: engine.embed(["again"])).shape == (1, 384)
    assert called(engine.call(lambda: 1), lambda: engine.call(lambda: 2).result(60)) == 2


def test_callbacks_that_wait_for_each_other(engine: Engine) -> None:
    meeting = threading.Barrier(9)
    for n in range(8):
        one(engine, str(n)).add_done_callback(lambda _: meeting.wait(60))
    meeting.wait(60)
    assert engine.embed(["still here"]).shape == (1, 384)


def test_a_callback_may_ask_through_another_thread(engine: Engine) -> None:
    def ask() -> Any:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(engine.embed(["elsewhere"])))
        thread.start()
        thread.join(60)
        return found[0]

    assert called(one(engine), ask).shape == (1, 384)


def test_a_callback_may_close_the_engine(minilm: UniMoER) -> None:
    engine = Engine(minilm)
    assert called(one(engine), engine.close) is None
    assert engine.closed


def test_callbacks_run_in_order_and_at_once_when_it_is_done(engine: Engine) -> None:
    entered, seen = threading.Event(), []
    held = engine.call(lambda: entered.wait(60))
    for n in range(20):
        held.add_done_callback(lambda _, n=n: seen.append(n))
    last = threading.Event()
    held.add_done_callback(lambda _: last.set())
    entered.set()
    assert last.wait(60)
    assert seen == list(range(20))
    held.add_done_callback(lambda _: seen.append(threading.current_thread()))
    assert seen[-1] is threading.current_thread()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_a_callback_raises_is_logged_and_the_engine_goes_on(
    engine: Engine, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Future[Any]) -> None:
        raise error("of the callback")

    with caplog.at_level(logging.ERROR, "unimoer_rag"):
        future = one(engine)
        future.add_done_callback(fail)
        after = threading.Event()
        future.add_done_callback(lambda _: after.set())
        assert after.wait(60)
    assert "exception calling callback" in caplog.text
    assert engine.embed(["still here"]).shape == (1, 384)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_finish_that_ends_threads_ends_none(engine: Engine, error: type[BaseException]) -> None:
    def finish(outputs: list[Any]) -> None:
        raise error("of the finish")

    rows = embedding(engine.model, ["text"], "document").rows
    with pytest.raises(error):
        engine.submit(Job(rows, finish)).result(60)
    assert engine.embed(["still here"]).shape == (1, 384)


def test_the_engines_own_thread_does_not_wait_for_itself(engine: Engine) -> None:
    for ask in (
        lambda: engine.embed(["inside"]),
        lambda: engine.call(lambda: 1).result(),
        lambda: engine.call(lambda: 1).exception(),
        lambda: engine.rank("q", ["d"]),
    ):
        with pytest.raises(UnimoerError, match="waited for in the engine's own thread"):
            engine.call(ask).result(60)

    def finish(outputs: list[Any]) -> Any:
        return engine.embed(["inside"])

    rows = embedding(engine.model, ["text"], "document").rows
    with pytest.raises(UnimoerError, match="waited for in the engine's own thread"):
        engine.submit(Job(rows, finish)).result(60)
    inner = engine.call(lambda: engine.call(lambda: "later")).result(60)
    assert inner.result(60) == "later"  # asked for, not waited for


def test_an_engine_closed_by_a_call_ends(minilm: UniMoER) -> None:
    engine = Engine(minilm)
    assert engine.call(engine.close).result(60) is None
    engine._worker.join(60)
    with pytest.raises(UnimoerError, match="engine is closed"):
        engine.embed(["text"])


@pytest.mark.slow
def test_engines_let_go_of_in_their_own_threads_end(minilm: UniMoER) -> None:
    workers = []
    for trial in range(20):
        engine = Engine(minilm, token_budget=24)
        workers.append(engine._worker)
        texts = [f"text {n} of {trial}" for n in range(6)]
        future = engine.submit(embedding(minilm, texts, "document"))
        del engine
        assert len(future.result(60)) == 6
        del future
    for worker in workers:
        worker.join(60)
        assert worker._thread is not None
        assert not worker._thread.is_alive()


def test_a_worker_that_breaks_answers_all_who_wait(
    minilm: UniMoER, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(minilm)
    entered, opened = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        opened.wait(60)

    engine.call(hold)
    assert entered.wait(60)
    waiting = [one(engine), engine.call(lambda: 1), one(engine, "two")]

    def broken(self: Worker, *_: Any) -> None:
        raise MemoryError("no room for a plan")

    monkeypatch.setattr(Worker, "_window", broken)
    opened.set()
    for future in waiting:
        with pytest.raises(MemoryError, match="no room for a plan"):
            future.result(60)
    assert engine.closed
    with pytest.raises(UnimoerError, match="engine is closed"):
        engine.embed(["text"])


@pytest.mark.slow
def test_threads_of_callbacks_end_when_they_have_nothing_to_do() -> None:
    callbacks = Callbacks(lambda: True)
    done = threading.Semaphore(0)
    for _ in range(3):
        callbacks.run(done.release)
    for _ in range(3):
        assert done.acquire(timeout=60)
    until = time.monotonic() + 60
    while any(t.name == "unimoer-callbacks" for t in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.05)
    callbacks.run(done.release)
    assert done.acquire(timeout=60)


@pytest.mark.slow
def test_nothing_waits_or_runs_in_a_fork(script: Script) -> None:
    done = script(
        """
import os, sys, threading
import torch
torch.set_num_threads(2)
from unimoer_rag.engine import Engine
from unimoer_rag.errors import UnimoerError
from unimoer_rag.model.unimoer import UniMoER
def loaded():
    return UniMoER.from_pretrained("minilm", device="cpu", dtype="float32")
model = loaded()
engine = Engine.of(model)
engine.embed(["in the parent"])
opened = threading.Event()
never = engine.call(lambda: opened.wait(60))
child = os.fork()
if child == 0:
    refused = 0
    for ask in (
        never.result,
        lambda: model.embed(["x"]),
        lambda: engine.embed(["x"]),
        lambda: Engine.of(loaded()).embed(["x"]),
    ):
        try:
            ask()
        except UnimoerError as error:
            refused += "load it after the fork, or start processes by 'spawn'" in str(error)
    engine.close()
    sys.exit(refused)
_, status = os.waitpid(child, 0)
opened.set()
engine.embed(["still in the parent"])
print("child", os.waitstatus_to_exitcode(status))
"""
    )
    assert (done.returncode, done.stdout) == (0, "child 4\n"), done.stderr


def test_what_is_sent_to_another_process_is_at_home_there() -> None:
    home = Home()
    home._pid += 1
    assert home.left
    assert not pickle.loads(pickle.dumps(home)).left
