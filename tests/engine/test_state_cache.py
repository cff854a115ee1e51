"""The cache of token states: bounded, least recently used first out, and invisible in results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from unimoer_rag.engine import Engine
from unimoer_rag.engine.cache import StateCache
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import EMBED, RERANK
from unimoer_rag.model.tasks.late import LateState
from unimoer_rag.model.unimoer import UniMoER


def row(*ids: int) -> Row:
    return Row(RERANK, list(ids), (0, len(ids)))


def state(n_tokens: int) -> LateState:
    """Of 8 (tokens) + 1 (worded) bytes a token and 8 more."""
    return LateState(
        torch.zeros(n_tokens, 2), torch.zeros(2), torch.zeros(n_tokens, dtype=torch.bool)
    )


def test_it_keeps_to_its_bytes_and_drops_the_least_recently_used() -> None:
    cache = StateCache(2 * state(4).nbytes)
    cache.put(row(1), state(4))
    cache.put(row(2), state(4))
    assert cache.get(row(1)) is not None  # now 2 is the older one
    cache.put(row(3), state(4))
    assert [cache.get(row(i)) is not None for i in (1, 2, 3)] == [True, False, True]
    assert (len(cache), cache.nbytes, cache.hits) == (2, 2 * state(4).nbytes, 3)
    cache.put(row(4), state(100))  # larger than all room
    cache.put(row(1), state(4))  # there already
    assert (len(cache), cache.nbytes) == (2, 2 * state(4).nbytes)
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_only_equal_rows_of_one_task_meet() -> None:
    cache = StateCache(1000)
    cache.put(row(1, 2), state(2))
    assert cache.get(row(1, 2)) is not None
    assert cache.get(row(2, 1)) is None
    assert cache.get(Row(RERANK.with_strength(0.5), [1, 2], (0, 2))) is None
    assert cache.get(Row(replace(RERANK, experts=("shared",)), [1, 2], (0, 2))) is None
    # What is done with the states later does not change them.
    assert cache.get(Row(replace(RERANK, feedback=0.5), [1, 2], (0, 2))) is not None
    assert cache.get(Row(EMBED, [1, 2], (0, 2))) is None
    # What is left out depends on the side, and states on which tokens are attended to.
    assert cache.get(Row(RERANK, [1, 2], (0, 2), side="query")) is None
    assert cache.get(Row(RERANK, [1, 2], (0, 2), unattended=1)) is None
    cache.put(Row(EMBED, [9], (0, 1)), torch.zeros(3))
    assert len(cache) == 1
    assert StateCache(0).get(row(1, 2)) is None


def test_a_cached_reranking_is_the_same(minilm: UniMoER) -> None:
    texts = ["refunds take five days", "the library opens at nine", "a tent for two"]
    with Engine(minilm) as cached, Engine(minilm, cache_bytes=0) as plain:
        first = cached.score("refunds", texts)
        rows = cached.stats.rows
        again = cached.score("refunds", texts)
        other = cached.score("opening hours", texts[::-1])
        np.testing.assert_array_equal(again, first)
        assert (rows, cached.stats.rows, cached.cache.hits) == (4, 5, 7)
        np.testing.assert_allclose(first, plain.score("refunds", texts), atol=1e-6)
        np.testing.assert_allclose(other, plain.score("opening hours", texts[::-1]), atol=1e-6)
        assert len(plain.cache) == 0
