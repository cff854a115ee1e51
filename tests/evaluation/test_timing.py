from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest

from unimoer_rag.evaluation import timing
from unimoer_rag.evaluation.timing import Timings


def test_percentiles_and_medians_by_hand() -> None:
    timings = Timings()
    timings.calls["search"] = [float(n) for n in range(101)]
    timings.stages["search/embed"] = [2.0, 1.0]
    assert timings.percentiles() == {
        "search": {"p50": 50.0, "p95": 95.0, "p99": 99.0},
        "search/embed": {"p50": 1.5, "p95": 1.95, "p99": 1.99},
    }
    assert timings.medians() == {"search": 50.0}


@dataclass
class Clock:
    """Time passes where a test says so, whatever the machine does."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now

    def take(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


def test_calls_are_timed_one_by_one(clock: Clock) -> None:
    timings = Timings()
    timings.time("take", [partial(clock.take, seconds) for seconds in (0.02, 0.5, 3)])
    timings.time("nothing", [])
    assert timings.calls.keys() == {"take"}
    assert timings.calls["take"] == pytest.approx([20, 500, 3000])


def test_what_is_made_before_a_call_is_not_in_its_time(clock: Clock) -> None:
    timings, made = Timings(), list[str]()

    def before() -> None:
        made.append("before")
        clock.take(100)

    def call() -> None:
        made.append("call")
        clock.take(1)

    timings.time("call", [call] * 2, before=before)
    assert made == ["before", "call"] * 2
    assert timings.calls["call"] == [1000, 1000]


def test_cold_and_warm_calls_are_kept_apart() -> None:
    timings = Timings()
    timings.note("answer", {"total": 9.0, "rerank": 6.0}, cold=True)
    timings.note("answer", {"total": 4.0, "rerank": 1.0}, cold=False)
    assert timings.medians() == {"answer": 9.0}
    assert {name: p["p50"] for name, p in timings.percentiles().items()} == {
        "answer": 9.0,
        "answer/rerank": 6.0,
    }
    assert {name: p["p50"] for name, p in timings.warm_percentiles().items()} == {
        "answer": 4.0,
        "answer/rerank": 1.0,
    }


def test_a_run_has_its_rate(clock: Clock) -> None:
    timings = Timings()
    with timings.run("search", 10):
        clock.take(0.5)
    assert timings.rates["search"] == 20
    assert timings.medians() == {}


def test_a_run_that_fails_has_none() -> None:
    timings = Timings()
    with pytest.raises(KeyError), timings.run("search", 1):
        raise KeyError
    assert timings.rates == {}
