"""Functions of one's own on the engine's thread: between batches, one at a time."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path

import numpy as np
import pytest
from model.tiny_models import make_model, save_backbone

from unimoer_rag.engine import Engine
from unimoer_rag.errors import UnimoerError
from unimoer_rag.model.tasks.jobs import embedding
from unimoer_rag.model.unimoer import UniMoER


def test_a_call_runs_in_the_thread_that_owns_the_device(engine: Engine) -> None:
    names = [engine.call(lambda: threading.current_thread().name).result(60) for _ in range(3)]
    assert names == ["unimoer-engine"] * 3


def test_an_error_is_the_callers(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        engine.call(lambda: 1 // 0).result(60)
    assert engine.call(lambda: "next").result(60) == "next"


def test_calls_run_between_the_batches_of_a_large_job(tmp_path: Path) -> None:
    model = make_model(save_backbone("bert", tmp_path))
    texts = [f"passage number {n} and more of it" for n in range(80)]
    with Engine(model, token_budget=64) as engine:
        alone = engine.embed(texts)
        before = engine.stats.batches
        job = engine.submit(embedding(model, texts, "document"))
        seen = []
        for _ in range(3):  # each asked for once the last has its result, as parts of an answer
            seen.append(engine.call(lambda: engine.stats.batches - before).result(60))
        assert not job.done()
        assert seen == sorted(set(seen))  # at least one batch between two calls
        assert seen[-1] < 20
        # Calls change which rows share a batch, and that the last bits of a sum in float32.
        np.testing.assert_allclose(job.result(60), alone, atol=1e-6)


def test_a_cancelled_call_does_not_run(engine: Engine) -> None:
    entered, opened, ran = threading.Event(), threading.Event(), []

    def hold() -> bool:
        entered.set()
        return opened.wait(60)

    first = engine.call(hold)
    assert entered.wait(60)
    second, third = engine.call(lambda: ran.append(2)), engine.call(lambda: ran.append(3))
    assert second.cancel()
    opened.set()
    assert first.result(60)
    third.result(60)
    assert ran == [3]


def test_what_is_queued_is_finished_when_the_engine_closes(minilm: UniMoER) -> None:
    engine = Engine(minilm)
    entered, opened = threading.Event(), threading.Event()

    def hold() -> bool:
        entered.set()
        return opened.wait(60)

    first = engine.call(hold)
    assert entered.wait(60)
    second: Future[str] = engine.call(lambda: "done")
    closing = threading.Thread(target=engine.close)
    closing.start()
    opened.set()
    closing.join(60)
    assert (first.result(0), second.result(0)) == (True, "done")
    with pytest.raises(UnimoerError, match="this engine is closed"):
        engine.call(lambda: None)


def test_what_is_queued_is_cancelled_when_the_engine_is_abandoned(minilm: UniMoER) -> None:
    engine = Engine(minilm)
    entered, opened = threading.Event(), threading.Event()

    def hold() -> bool:
        entered.set()
        return opened.wait(60)

    first = engine.call(hold)
    assert entered.wait(60)
    second = engine.call(lambda: "never")
    engine._worker.abandon()
    assert engine.closed
    opened.set()
    engine._worker.join(60)
    assert first.result(0)
    with pytest.raises(CancelledError):
        second.result(0)
