"""Lanes: batches side by side, and what the worker makes of them."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import torch

from unimoer_rag.engine import Engine
from unimoer_rag.engine import engine as engine_module
from unimoer_rag.engine.lanes import Lanes
from unimoer_rag.model.batching import count_lanes
from unimoer_rag.model.rows import Row
from unimoer_rag.model.unimoer import UniMoER

WORDS = ["paris", "library", "report", "nine", "days", "team", "refunds", "france", "four", "six"]


class Taken(Lanes):
    """Lanes whose results are taken one by one."""

    def __init__(self, n: int) -> None:
        self.results: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        super().__init__(n, lambda key, result: self.results.put((key, result)))

    def take(self) -> tuple[Any, Any]:
        result = self.results.get(timeout=30)
        self.ended()
        return result


@pytest.fixture
def lanes() -> Iterator[Taken]:
    lanes = Taken(2)
    yield lanes
    lanes.close()


def test_two_run_at_once_and_results_keep_their_keys(lanes: Taken) -> None:
    both = threading.Barrier(2)  # passed only if both are in it

    def work(answer: str) -> str:
        both.wait(30)
        return answer

    lanes.submit(1, lambda: work("one"), alone=False)
    assert not lanes.full
    lanes.submit(2, lambda: work("two"), alone=False)
    assert lanes.full
    assert dict([lanes.take(), lanes.take()]) == {1: "one", 2: "two"}
    assert lanes.n_running == 0


def test_what_runs_alone_runs_in_the_callers_thread_on_all_cores(lanes: Taken) -> None:
    lanes.submit(0, lambda: (threading.current_thread(), torch.get_num_threads()), alone=True)
    assert lanes.take() == (0, (threading.current_thread(), torch.get_num_threads()))


def test_each_lane_has_its_share_and_other_threads_have_what_they_had(lanes: Taken) -> None:
    cores = torch.get_num_threads()
    for at in range(2):
        lanes.submit(at, torch.get_num_threads, alone=False)
    assert {share for _, share in (lanes.take(), lanes.take())} == {max(cores // 2, 1)}
    assert torch.get_num_threads() == cores
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [cores]


def test_threads_end_when_closed() -> None:
    before = threading.active_count()
    lanes = Taken(2)
    lanes.submit(0, lambda: 0, alone=False)
    lanes.take()
    assert threading.active_count() == before + 2
    lanes.close()
    lanes.close()
    assert threading.active_count() == before


def test_a_cpu_has_a_lane_a_core_and_an_accelerator_one() -> None:
    assert count_lanes(torch.device("cpu")) == min(torch.get_num_threads(), 8)
    assert count_lanes(torch.device("cuda", 0)) == 1


class Watched(UniMoER):
    """Counts how many batches run at a time; where several may, the first awaits another."""

    running = most = 0
    guard = threading.Lock()
    together = threading.Event()

    def run(self, rows: Sequence[Row]) -> Any:
        with self.guard:
            self.running += 1
            self.most = max(self.most, self.running)
            if self.running > 1:
                self.together.set()
        try:
            assert self.together.wait(60)
            return super().run(rows)
        finally:
            with self.guard:
                self.running -= 1


@pytest.fixture
def watched(tiny: UniMoER) -> Iterator[Any]:
    kind = tiny.__class__
    tiny.__class__ = Watched
    yield tiny
    tiny.__class__ = kind


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3])
def test_answers_do_not_depend_on_the_number_of_lanes(
    n: int, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "count_lanes", lambda device: n)
    watched.most = 0
    watched.together = threading.Event()
    if n == 1:
        watched.together.set()
    source = random.Random(0)
    texts = [" ".join(source.choices(WORDS, k=4 + at % 17)) for at in range(120)]
    with Engine(watched, token_budget=128) as engine:
        found = engine.embed(texts)
        assert engine.stats.rows == 120
        during: list[int] = []
        jobs = [engine.submit(_job(watched, texts)) for _ in range(2)]
        calls = [engine.call(lambda: during.append(watched.running)) for _ in range(5)]
        for future in (*jobs, *calls):
            future.result(120)
    assert 1 <= watched.most <= n
    assert n == 1 or watched.most > 1
    assert during == [0] * 5  # a call has the device for itself
    np.testing.assert_allclose(found, watched.embed(texts), atol=2e-5)


def _job(model: UniMoER, texts: Sequence[str]) -> Any:
    from unimoer_rag.model.tasks.jobs import embedding

    return embedding(model, texts, "document")


def test_a_large_job_of_mixed_lengths_needs_little_padding(tiny: UniMoER) -> None:
    texts = ["paris " * (1 + (37 * at) % 90) for at in range(300)]
    with Engine(tiny, token_budget=256) as engine:
        engine.embed(texts)
        assert engine.stats.padded < 1.06 * engine.stats.tokens


@pytest.mark.slow
def test_no_lane_is_left_without_work_at_the_end(
    minilm: UniMoER, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "count_lanes", lambda device: 2)
    with Engine(minilm, token_budget=1024) as engine:
        engine.embed(["word " * 30] * 20 + ["other " * 30] * 20)  # 2 rows that differ
        assert engine.stats.batches == 2
        engine.stats.batches = 0
        engine.embed([f"word {at} " * 10 for at in range(75)])  # 1,650 tokens: 2 full budgets
        assert engine.stats.batches in (2, 3)
        engine.stats.batches = 0
        engine.embed([f"word {at} " * 10 for at in range(110)])  # 2,420 tokens: 3 without lanes
        assert engine.stats.batches in (4, 5)


class Slow(UniMoER):
    """Holds the batches that have a row of three tokens until it is let go."""

    held = threading.Event()
    go = threading.Event()

    def run(self, rows: Sequence[Row]) -> Any:
        if any(len(row.ids) == 3 for row in rows):
            self.held.set()
            assert self.go.wait(60)
        return super().run(rows)


def test_a_free_lane_takes_what_arrives_while_another_works(
    minilm: UniMoER, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "count_lanes", lambda device: 2)
    kind = minilm.__class__
    minilm.__class__ = Slow
    try:
        with Engine(minilm, token_budget=16, cache_bytes=0) as engine:
            # Two batches, of which the second is held: its lane is busy, the other is free.
            first = engine.submit(_job(minilm, ["word " * 12, "word"]))
            assert Slow.held.wait(60)
            assert engine.embed(["another word"]).shape == (1, minilm.dimension)
            assert not first.done()
            Slow.go.set()
            assert first.result(60).shape == (2, minilm.dimension)
    finally:
        Slow.go.set()
        minilm.__class__ = kind
