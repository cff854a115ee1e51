"""What becomes of jobs that fail or are cancelled, and of engines nobody needs any more."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unimoer_rag.engine import Engine
from unimoer_rag.errors import UnimoerError
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks.jobs import Job, embedding, reading
from unimoer_rag.model.unimoer import UniMoER

Script = Callable[[str], Any]


@contextmanager
def busy(engine: Engine) -> Iterator[None]:
    """Keeps the worker from its queue meanwhile."""
    started, go = threading.Event(), threading.Event()

    def finish(outputs: list[Any]) -> None:
        started.set()
        assert go.wait(60)

    held = engine.submit(Job(embedding(engine.model, ["hold"], "document").rows, finish))
    assert started.wait(60)
    try:
        yield
    finally:
        go.set()
        held.result(60)


def broken(engine: Engine, n: int = 3) -> Job[Any]:
    """A job with a token that no vocabulary has, between good rows."""
    good = engine.model.rows.single(["fine"] * n, engine.model.task("embed"))
    bad = Row(engine.model.task("embed"), [101, 10**6, 102], (1, 2))
    return Job([*good[: n // 2], bad, *good[n // 2 :]], lambda outputs: outputs)


def test_a_broken_job_fails_alone(engine: Engine, minilm: UniMoER) -> None:
    with busy(engine):  # so that all share batches
        before = engine.submit(embedding(minilm, ["one", "two"], "document"))
        failing = engine.submit(broken(engine))
        after = engine.submit(embedding(minilm, ["three", "four"], "document"))
    with pytest.raises(IndexError):
        failing.result(60)
    np.testing.assert_allclose(before.result(60), minilm.embed(["one", "two"]), atol=1e-5)
    np.testing.assert_allclose(after.result(60), minilm.embed(["three", "four"]), atol=1e-5)
    assert engine.embed(["still here"]).shape == (1, minilm.dimension)


def test_a_finish_that_fails_is_its_own_callers_error(engine: Engine) -> None:
    def finish(outputs: list[Any]) -> None:
        raise ValueError("no")

    rows = embedding(engine.model, ["text"], "document").rows
    with pytest.raises(ValueError, match="no"):
        engine.submit(Job(rows, finish)).result(60)
    assert len(engine.embed(["still here"])) == 1


def test_cancelled_work_is_dropped(engine: Engine, minilm: UniMoER) -> None:
    with busy(engine):
        n_rows = engine.stats.rows
        future = engine.submit(embedding(minilm, ["a text"] * 50, "document"))
        assert future.cancel()
    assert engine.embed(["after"]).shape == (1, minilm.dimension)
    assert engine.stats.rows == n_rows + 1
    done, _ = concurrent.futures.wait([future], timeout=1)
    assert done == {future}


@pytest.mark.slow
def test_a_job_can_be_cancelled_half_way(engine: Engine, minilm: UniMoER) -> None:
    # Equal ones would be computed once.
    texts = [f"{at} some words here " * 9 for at in range(1000)]
    future = engine.submit(embedding(minilm, texts, "document"))
    while engine.stats.rows == 0:
        time.sleep(0.001)
    assert future.cancel()
    engine.embed(["after"])
    assert engine.stats.rows < 500


async def test_a_cancelled_task_cancels_its_work(engine: Engine, minilm: UniMoER) -> None:
    with busy(engine):
        n_rows = engine.stats.rows
        task = asyncio.ensure_future(engine.aembed(["a text"] * 20))
        while engine.stats.jobs < 2:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await engine.aembed(["after"])
    assert engine.stats.rows == n_rows + 1


def test_closing_finishes_what_is_queued(minilm: UniMoER) -> None:
    engine = Engine(minilm)
    futures = [engine.submit(embedding(minilm, ["text"], "document")) for _ in range(20)]
    engine.close()
    engine.close()
    assert all(future.done() and len(future.result()) == 1 for future in futures)
    assert engine.closed
    with pytest.raises(UnimoerError, match="engine is closed"):
        engine.embed(["text"])
    with pytest.raises(UnimoerError, match="engine is closed"):
        engine.embed([])
    Engine(minilm).close()  # never used


def test_one_engine_a_model(minilm: UniMoER) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        engines = set(threads.map(lambda _: Engine.of(minilm), range(32)))
    assert len(engines) == 1
    engine = engines.pop()
    engine.close()
    assert Engine.of(minilm) is not engine
    assert len(Engine.of(minilm).embed(["text"])) == 1


@pytest.mark.slow
def test_a_copied_model_gets_an_engine_of_its_own(minilm: UniMoER) -> None:
    engine = Engine.of(minilm)
    assert pickle.loads(pickle.dumps(engine)) is None
    twin = copy.deepcopy(minilm)
    assert Engine.of(twin) is not engine
    assert Engine.of(twin).model is twin


def engine_threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name in ("unimoer-engine", "unimoer-lane-0")}


@pytest.mark.slow
def test_a_dropped_model_is_freed_with_its_engine_and_thread(minilm_path: Path) -> None:
    before = engine_threads()
    model = UniMoER.from_backbone("minilm", device="cpu", dtype="float32")
    Engine.of(model).embed(["text"])
    Engine.of(model).score("query", ["text"])
    assert len(engine_threads() - before) == min(2, torch.get_num_threads())
    kept = weakref.ref(model)
    del model
    deadline = time.monotonic() + 10
    while (kept() is not None or engine_threads() - before) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert kept() is None
    assert not engine_threads() - before


@pytest.mark.slow
def test_work_in_the_queue_keeps_its_engine(minilm: UniMoER) -> None:
    engine = Engine(minilm)
    with busy(engine):
        future = engine.submit(reading(minilm, "who?", ["a passage"]))
        del engine
        gc.collect()
    assert len(future.result(60)) == 1


@pytest.mark.slow
def test_the_interpreter_exits_under_work_and_callbacks_that_have_not_ended(script: Script) -> None:
    """One of a fork for the callbacks, which takes over what was imported, then the first one."""
    done = script(
        """
import os, threading, time
import torch
from transformers import BertModel  # which loading would import in both
from unimoer_rag.engine import Engine
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.model.tasks.jobs import embedding

def submit(texts):
    model = UniMoER.from_pretrained("minilm", device="cpu", dtype="float32")
    engine = Engine.of(model)
    return engine, engine.submit(embedding(model, texts, "document"))

many = [f"{n} words " * 20 for n in range(400)]
if os.fork():
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
    engine, future = submit(many)
    while engine.stats.batches < 2:
        time.sleep(0.01)
else:
    torch.set_num_threads(2)
    begun = threading.Event()
    def hang(future):
        begun.set()
        threading.Event().wait()
    engine, future = submit(["one"])
    future.add_done_callback(hang)
    begun.wait()
    submit(many)
print("leaving", flush=True)
"""
    )
    assert (done.returncode, done.stdout) == (0, "leaving\n0\nleaving\n"), done.stderr
    assert not any(word in done.stderr for word in ("Error", "Fatal", "terminate", "Traceback"))
