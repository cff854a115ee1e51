"""The stress test: right answers pass, wrong ones and deadlocks are found."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from model.tiny_models import make_model

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.lab.bench import calls, stress
from unimoer_rag.lab.bench.calls import KINDS, Call, make_call
from unimoer_rag.retrieval.retriever import UnifiedRetriever

measure_stress = partial(stress.measure_stress, warm_up=0.1)

HANDBOOK = Path(__file__).resolve().parents[3] / "examples" / "handbook"


@pytest.fixture(scope="module")
def retriever(tiny_bert: Path) -> Iterator[UnifiedRetriever]:
    """Over a tiny model: what is tested is who gets which answer."""
    with (
        pytest.MonkeyPatch.context() as patch,
        UnifiedRetriever(make_model(tiny_bert)) as retriever,
    ):
        # Token states are kept in float16: of 32 dimensions, one that is rounded otherwise shows.
        patch.setattr(calls, "_TOLERANCE", 1e-3)
        for path in sorted(HANDBOOK.glob("*.md"))[:12]:
            retriever.add_path(path)
        yield retriever


@pytest.mark.slow
def test_many_clients_get_what_one_gets(retriever: UnifiedRetriever) -> None:
    found = measure_stress(retriever, seconds=0.5, n_threads=12, n_coroutines=6)
    assert found["wrong"] == 0
    assert found["calls"] == sum(found["calls_by_kind"].values()) >= 12
    assert found["calls"] + found["given_up"] >= 18  # each client makes one
    assert set(found["calls_by_kind"]) == set(KINDS)
    assert found["ratio"] > 0
    latency = found["ours"]["latency_ms"]
    assert latency["p50"] <= latency["p99"]


@pytest.mark.slow
def test_coroutines_that_give_up_block_nobody(
    retriever: UnifiedRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stress, "_GIVEN_UP", 0.7)
    found = measure_stress(retriever, seconds=0.5, n_threads=1, n_coroutines=8)
    assert found["given_up"] > 0
    assert found["wrong"] == 0
    assert retriever.engine.embed(["the engine still answers"]).shape == (1, 32)


@pytest.mark.slow
def test_a_wrong_answer_is_counted(
    retriever: UnifiedRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Engine.embed
    here = threading.current_thread()

    def embed(self: Engine, *args: Any, **options: Any) -> Any:
        vectors = right(self, *args, **options)
        return vectors if threading.current_thread() is here else vectors[:, ::-1]

    monkeypatch.setattr(Engine, "embed", embed)
    found = measure_stress(retriever, seconds=0.5, n_threads=12, n_coroutines=0)
    assert found["wrong_by_kind"] == {"embed": found["calls_by_kind"]["embed"]}


@pytest.mark.slow
def test_clients_without_answers_are_a_deadlock(
    retriever: UnifiedRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, here = threading.Event(), threading.current_thread()

    def stuck(*args: Any, **options: Any) -> Any:
        if threading.current_thread() is not here:
            released.wait(60)
        return np.zeros(1, dtype=np.float32)

    monkeypatch.setattr(stress, "_SILENCE", 0.3)
    for name in ("embed", "rank"):
        monkeypatch.setattr(Engine, name, stuck)
    monkeypatch.setattr(retriever, "search", stuck)
    with pytest.raises(UnimoerError, match=r"deadlock: 3 clients wait, and none got an answer"):
        measure_stress(retriever, seconds=0.1, n_threads=3, n_coroutines=0)
    released.set()


def test_what_ends_a_client_is_raised(
    retriever: UnifiedRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        raise RuntimeError("a broken store")

    monkeypatch.setattr(retriever, "asearch", broken)
    with pytest.raises(RuntimeError, match="a broken store"):
        measure_stress(retriever, seconds=1, n_threads=0, n_coroutines=8)


def test_calls_depend_on_the_seed_alone(retriever: UnifiedRetriever) -> None:
    texts = [f"passage number {n} about boats" for n in range(20)]
    one, two = (make_call(retriever, texts, Random("7/1")) for _ in range(2))
    assert one.kind == two.kind
    assert one.same(one.run(), two.run())


def test_equal_scores_may_trade_places_and_nothing_else() -> None:
    call = Call("search", lambda: None, lambda: None)  # type: ignore[arg-type, return-value]
    expected = [("a", 0.9), ("b", 0.5), ("c", 0.5)]
    assert call.same(expected, expected)
    assert call.same([expected[0], expected[2], expected[1]], expected)
    assert call.same([*expected[:2], ("tied with the last", 0.5)], expected)
    assert not call.same([expected[1], expected[0], expected[2]], expected)
    assert not call.same([*expected[:2], ("c", 0.4)], expected)
    assert not call.same(expected[:2], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_threads": 0, "n_coroutines": 0}, "expected some client"),
        ({"n_threads": -1}, "expected some client"),
        ({"seconds": 0}, "and some time"),
    ],
)
def test_a_run_of_nothing_is_refused(
    retriever: UnifiedRetriever, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        measure_stress(retriever, **options)


def test_too_few_passages_are_refused(tiny_bert: Path) -> None:
    with UnifiedRetriever(make_model(tiny_bert)) as retriever:
        retriever.add(["a single text"])
        with pytest.raises(InputError, match="the index holds 1 passages: expected at least 20"):
            measure_stress(retriever)
