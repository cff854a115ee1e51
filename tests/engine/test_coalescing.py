"""Equal rows that wait together run once; every job that asked for one gets its output."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from unimoer_rag.engine import Engine
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks.jobs import embedding, ranking
from unimoer_rag.model.unimoer import UniMoER

QUERY = "how long do refunds take?"
PASSAGES = ["refunds take five days", "the library opens at nine", "a kayak for two"]


class Gate:
    """Holds the first batch of a model until it is opened, and keeps what ran."""

    def __init__(self, model: UniMoER) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.rows: list[Row] = []
        self.failing: str | None = None
        self.real, self._tokenizer = model.run, model.tokenizer

    def run(self, rows: Sequence[Row]) -> list[Any]:
        self.entered.set()
        assert self.opened.wait(60)
        self.rows += rows
        if self.failing and any(self.failing in self._tokenizer.decode(row.ids) for row in rows):
            raise RuntimeError("a broken row")
        return self.real(rows)


@pytest.fixture
def gate(minilm: UniMoER, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(minilm)
    monkeypatch.setattr(minilm, "run", gate.run)
    # The worker is busy with this one while the tests queue theirs.
    first = engine.submit(embedding(minilm, ["a row that keeps the worker busy"], "document"))
    assert gate.entered.wait(60)
    yield gate
    gate.opened.set()
    first.result(60)


def test_many_callers_of_the_same_passages_cost_one(
    minilm: UniMoER, engine: Engine, gate: Gate
) -> None:
    jobs = [ranking(minilm, QUERY, PASSAGES, logits=False) for _ in range(10)]
    futures = [engine.submit(job) for job in jobs]
    gate.opened.set()
    results = [future.result(60) for future in futures]
    assert len(gate.rows) == 1 + 1 + len(PASSAGES)
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    np.testing.assert_allclose(results[0], minilm.rank(QUERY, PASSAGES), atol=2e-4)


def test_equal_texts_of_one_job_run_once(minilm: UniMoER, engine: Engine, gate: Gate) -> None:
    future = engine.submit(embedding(minilm, [PASSAGES[0], PASSAGES[1], PASSAGES[0]], "document"))
    gate.opened.set()
    vectors = future.result(60)
    assert len(gate.rows) == 3
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(vectors, minilm.embed([PASSAGES[i] for i in (0, 1, 0)]), atol=1e-5)


def test_tasks_do_not_share_rows(minilm: UniMoER, engine: Engine, gate: Gate) -> None:
    """The same text is another row for another task, or behind an instruction."""
    futures = [
        engine.submit(embedding(minilm, [QUERY], "query")),
        engine.submit(embedding(minilm, [QUERY], "query", instruction="find: ")),
        engine.submit(ranking(minilm, QUERY, [PASSAGES[0]], logits=False)),
    ]
    gate.opened.set()
    plain, told, _ = (future.result(60) for future in futures)
    assert len(gate.rows) == 1 + 1 + 1 + 2
    assert not np.allclose(plain, told)


def test_one_callers_cancellation_is_not_anothers(
    minilm: UniMoER, engine: Engine, gate: Gate
) -> None:
    left, stayed = (engine.submit(embedding(minilm, PASSAGES, "document")) for _ in range(2))
    left.cancel()
    gate.opened.set()
    np.testing.assert_allclose(stayed.result(60), minilm.embed(PASSAGES), atol=1e-5)


def test_nobody_waits_for_a_row_that_failed(minilm: UniMoER, engine: Engine, gate: Gate) -> None:
    gate.failing = "kayak"
    broken = [engine.submit(embedding(minilm, PASSAGES, "document")) for _ in range(2)]
    fine = engine.submit(embedding(minilm, PASSAGES[:2], "document"))
    gate.opened.set()
    for future in broken:
        with pytest.raises(RuntimeError, match="a broken row"):
            future.result(60)
    assert fine.result(60).shape == (2, minilm.dimension)


def test_what_became_known_in_the_queue_does_not_run(
    minilm: UniMoER, engine: Engine, gate: Gate
) -> None:
    known = minilm.rows.single([PASSAGES[0]], minilm.task("rerank"))[0]
    future = engine.submit(ranking(minilm, QUERY, PASSAGES, logits=False))
    engine.cache.put(known, gate.real([known])[0])  # as another caller's batch does
    gate.opened.set()
    assert future.result(60).shape == (3,)
    assert known.key not in {row.key for row in gate.rows}
