"""The engine gives what the model gives, whoever asks and however many at once."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks.jobs import Reading, embedding
from unimoer_rag.model.unimoer import UniMoER

# One token each, of the tiny model too.
_WORDS = [
    "refunds",
    "parcel",
    "library",
    "report",
    "paris",
    "team",
    "opens",
    "nine",
    "days",
    "france",
]


def sentences(n: int, *, seed: int, longest: int = 24) -> list[str]:
    source = random.Random(seed)
    return [
        " ".join(source.choices(_WORDS, k=source.randint(1, longest))).capitalize() + "."
        for _ in range(n)
    ]


TEXTS = sentences(16, seed=0)
QUERY = "how many days does a refund take?"


def close(a: Any, b: Any) -> None:
    if isinstance(a, list):
        assert [type(x) for x in a] == [type(x) for x in b] == [Reading] * len(a)
        for x, y in zip(a, b, strict=True):
            # The span head is untrained, so that spans tie; their scores are what counts.
            assert x.no_answer == pytest.approx(y.no_answer, abs=1e-5)
            assert x.probability == pytest.approx(y.probability, abs=1e-5)
            assert x.margin == pytest.approx(y.margin, abs=1e-4)
    else:
        # Scores come from float16 token states: padding may move one by a rounding.
        np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.slow
def test_results_are_the_models_in_input_order(engine: Engine, minilm: UniMoER) -> None:
    close(engine.embed(TEXTS), minilm.embed(TEXTS))
    close(engine.embed(TEXTS, "query"), minilm.embed(TEXTS, "query"))
    close(engine.score(QUERY, TEXTS), minilm.score(QUERY, TEXTS))
    close(engine.score(QUERY, TEXTS, logits=True), minilm.score(QUERY, TEXTS, logits=True))
    close(engine.rank(QUERY, TEXTS), minilm.rank(QUERY, TEXTS))
    cross = minilm.score(QUERY, TEXTS[:8], task="rerank-cross")
    close(engine.score(QUERY, TEXTS[:8], task="rerank-cross"), cross)
    close(engine.read(QUERY, TEXTS[:8]), minilm.read(QUERY, TEXTS[:8]))
    assert engine.embed(TEXTS).dtype == np.float32


def test_nothing_asked_is_nothing_answered(engine: Engine, minilm: UniMoER) -> None:
    assert engine.embed([]).shape == (0, minilm.dimension)
    assert engine.score(QUERY, []).shape == engine.rank(QUERY, []).shape == (0,)
    assert engine.read(QUERY, []) == []


def test_bad_input_is_refused_before_it_is_queued(engine: Engine) -> None:
    with pytest.raises(InputError, match="document 1 is empty"):
        engine.embed(["fine", " "])
    with pytest.raises(InputError, match="one string"):
        engine.embed("fine")
    with pytest.raises(InputError, match="no task 'guess'"):
        engine.score(QUERY, TEXTS, task="guess")
    assert engine.stats.jobs == 0


@pytest.mark.parametrize("options", [{"token_budget": 0}, {"cache_bytes": -1}])
def test_budgets_are_checked(minilm: UniMoER, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected"):
        Engine(minilm, **options)  # type: ignore[arg-type]


def _requests() -> list[tuple[str, tuple[Any, ...]]]:
    requests: list[tuple[str, tuple[Any, ...]]] = []
    for seed in range(8):
        texts = sentences(4, seed=seed + 1, longest=12)
        requests += [
            ("embed", (texts,)),
            ("embed", (texts, "query")),
            ("score", (texts[0], texts[1:])),
            ("rank", (texts[0], texts[1:])),
            ("read", (texts[0], texts[1:3])),
        ]
    return requests


@pytest.mark.slow
def test_threads_and_coroutines_get_what_a_single_caller_gets(
    engine: Engine, minilm: UniMoER
) -> None:
    requests = _requests()
    expected = [getattr(minilm, name)(*args) for name, args in requests]

    def from_thread(at: int) -> Any:
        name, args = requests[at]
        return getattr(engine, name)(*args)

    async def from_coroutines() -> list[Any]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(16) as threads:
            others = [loop.run_in_executor(threads, from_thread, at) for at in range(16)]
            mine = [getattr(engine, f"a{name}")(*args) for name, args in requests]
            return await asyncio.gather(*mine, *others)

    before = {t for t in threading.enumerate() if t.name == "unimoer-engine"}
    answers = asyncio.run(from_coroutines())
    after = {t for t in threading.enumerate() if t.name == "unimoer-engine"}
    assert len(after - before) == 1
    for answer, wanted in zip(answers, [*expected, *expected[:16]], strict=True):
        close(answer, wanted)
    assert engine.stats.jobs == 56
    assert engine.stats.batches < 56  # rows of different callers shared batches


@pytest.mark.slow
def test_batches_fill_a_budget_with_rows_of_one_length(minilm: UniMoER) -> None:
    texts = sentences(60, seed=5)
    with Engine(minilm, token_budget=256) as engine:
        seen: list[list[int]] = []
        run = minilm.run

        def spy(rows: Any) -> Any:
            seen.append([len(row.ids) for row in rows])
            return run(rows)

        engine.model = minilm
        minilm.run = spy  # type: ignore[method-assign]
        try:
            engine.embed(texts)
        finally:
            del minilm.run
        assert all(len(batch) * max(batch) <= 256 for batch in seen)
        assert engine.stats.rows == 60 == sum(map(len, seen))
        assert engine.stats.batches == len(seen)
        assert engine.stats.tokens == sum(map(sum, seen))
        assert engine.stats.padded == sum(len(batch) * max(batch) for batch in seen)
        # In order of arrival, every batch would be padded to nearly the longest row.
        assert engine.stats.padded < 1.25 * engine.stats.tokens


def test_batches_shrink_to_what_memory_holds(
    tiny: UniMoER, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device of 1,500 tokens: a batch that fails is halved, and so are those after it."""
    texts = sentences(400, seed=5)
    expected = tiny.embed(texts)
    run, sizes = tiny.run, list[int]()

    def held(rows: Sequence[Row]) -> list[Any]:
        sizes.append(len(rows) * max(len(row.ids) for row in rows))
        if sizes[-1] > 1500:
            raise torch.OutOfMemoryError("out of memory")
        return run(rows)

    monkeypatch.setattr(tiny, "run", held)
    monkeypatch.setattr("unimoer_rag.engine.engine.count_lanes", lambda device: 1)
    with Engine(tiny, token_budget=2048, cache_bytes=0) as engine:
        np.testing.assert_allclose(engine.embed(texts), expected, atol=1e-5)
    [failed] = [at for at, size in enumerate(sizes) if size > 1500]
    assert max(sizes[failed + 1 :]) <= sizes[failed] / 2 + 30  # of an odd number of rows


@pytest.mark.slow
def test_truncation_is_counted(engine: Engine) -> None:
    engine.embed(["short", "long " * 1000])
    engine.read(QUERY, ["word " * 600])
    assert engine.stats.truncated == 2


@pytest.mark.slow
def test_the_event_loop_runs_on(engine: Engine) -> None:
    async def main() -> int:
        ticks = 0
        work = asyncio.ensure_future(engine.aembed(sentences(60, seed=9)))
        while not work.done():
            await asyncio.sleep(0.001)
            ticks += 1
        await work
        return ticks

    started = time.perf_counter()
    ticks = asyncio.run(main())
    elapsed = time.perf_counter() - started
    assert ticks > 5, f"{ticks} ticks in {elapsed:.2f} s"


@pytest.mark.slow
def test_a_question_overtakes_a_large_job(minilm: UniMoER) -> None:
    with Engine(minilm, token_budget=64) as engine:
        large = engine.submit(embedding(minilm, sentences(200, seed=3), "document"))
        asked = engine.embed(["a question"], "query")
        assert not large.done()
        assert asked.shape == (1, minilm.dimension)
        assert large.result().shape == (200, minilm.dimension)
