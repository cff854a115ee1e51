from __future__ import annotations

import time
from functools import partial

import pytest

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


def test_calls_are_timed_one_by_one() -> None:
    timings = Timings()
    timings.time("sleep", [partial(time.sleep, 0.02)] * 3)
    timings.time("nothing", [])
    assert timings.calls.keys() == {"sleep"}
    assert len(timings.calls["sleep"]) == 3
    assert all(20 <= elapsed < 2000 for elapsed in timings.calls["sleep"])


def test_what_is_made_before_a_call_is_not_in_its_time() -> None:
    timings, made = Timings(), []
    timings.time(
        "call",
        [lambda: made.append("call")] * 2,
        before=lambda: (made.append("before"), time.sleep(0.2)),
    )
    assert made == ["before", "call"] * 2
    assert len(timings.calls["call"]) == 2
    assert min(timings.calls["call"]) < 200  # slept through, had it been timed


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


def test_a_run_has_its_rate() -> None:
    timings = Timings()
    with timings.run("search", 10):
        time.sleep(0.1)
    assert 10 < timings.rates["search"] <= 100
    assert timings.medians() == {}


def test_a_run_that_fails_has_none() -> None:
    timings = Timings()
    with pytest.raises(KeyError), timings.run("search", 1):
        raise KeyError
    assert timings.rates == {}
