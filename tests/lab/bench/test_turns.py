"""Timing in turns: who runs when, what is measured, and the ratio of medians."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench import timing
from unimoer_rag.lab.bench.timing import Seconds, alternate


@pytest.mark.slow
def test_every_side_runs_in_every_round_and_the_order_turns_around() -> None:
    ran: list[str] = []
    said: list[tuple[str, int]] = []
    sides = {name: (lambda name=name: ran.append(name)) for name in "abc"}
    seconds = alternate(sides, rounds=5, on_run=lambda side, at: said.append((side, at)))
    assert "".join(ran) == "abc" + "cba" + "abc" + "cba" + "abc" + "cba"
    assert [at for _, at in said] == [at for at in range(6) for _ in range(3)]
    assert {name: len(taken) for name, taken in seconds.items()} == dict.fromkeys("abc", 5)


@pytest.mark.slow
def test_each_side_is_measured_by_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def take(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now))
    # What is told before a run takes time as well, which is nobody's.
    sides = {"slow": lambda: take(3), "fast": lambda: take(0.5)}
    seconds = alternate(sides, on_run=lambda side, at: take(100))
    assert seconds == {"slow": [3.0] * 5, "fast": [0.5] * 5}


def test_the_ratio_is_the_median_of_those_of_the_rounds() -> None:
    seconds = Seconds({"theirs": [2.0, 8.0, 3.0], "ours": [1.0, 2.0, 2.0]})
    assert seconds.ratio("theirs", "ours") == 2.0
    assert seconds.medians() == {"theirs": 3.0, "ours": 2.0}


def test_too_few_rounds_are_refused() -> None:
    with pytest.raises(InputError, match="rounds is 4: expected 5 or more"):
        alternate({"a": lambda: None}, rounds=4)
