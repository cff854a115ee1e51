from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from store_contract import RECORDS, StoreContract, make_record

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import MemoryStore, Record, ServerStore, Store


class TestMemory(StoreContract):
    @pytest.fixture
    def empty(self) -> Iterator[Store]:
        with ServerStore.memory(dimension=8) as store:
            yield store


def test_two_memories_are_apart() -> None:
    with ServerStore.memory(dimension=3) as one, ServerStore.memory(dimension=4) as two:
        one.set_identity({"a": 1})
        assert two.identity() is None
        assert (one.dimension, two.dimension) == (3, 4)


def test_dimension_of_nothing() -> None:
    with pytest.raises(InputError, match="dimension is 0"):
        ServerStore.memory(dimension=0)


@pytest.mark.parametrize("n", [1, 3, 7, 21, 50])
def test_equal_vectors_have_equal_scores_wherever_they_stand(n: int) -> None:
    """A matrix product gives them others, in the last bits."""
    random = np.random.default_rng(0)
    vector, others = random.normal(size=384), random.normal(size=(30, 384))
    with MemoryStore(dimension=384) as store:
        for at in range(n):
            passage = make_record(at, text=f"passage {at}").passage
            store.upsert([Record(passage, vector.astype(np.float32), SparseVector((), ()))])
            other = make_record(at, text=f"other {at}").passage
            row = others[at % 30].astype(np.float32)
            store.upsert([Record(other, row, SparseVector((), ()))])
        query = random.normal(size=(1, 384)).astype(np.float32)
        [found] = store.search_dense(query, limit=999)
        scores = [f.score for f in found if f.passage.text.startswith("passage")]
        assert len(scores) == n
        assert len(set(scores)) == 1
        for limit in range(1, 2 * n):
            assert store.search_dense(query, limit=limit) == [found[:limit]]


def test_a_search_changes_nothing() -> None:
    random = np.random.default_rng(0)
    with MemoryStore(dimension=384) as store:
        for at in range(20):
            vector = random.normal(size=384).astype(np.float32)
            passage = make_record(at, text=f"passage {at}").passage
            store.upsert([Record(passage, vector, SparseVector((), ()))])
        query = random.normal(size=(1, 384)).astype(np.float32)
        first = store.search_dense(query, limit=5)
        assert all(store.search_dense(query, limit=5) == first for _ in range(5))


def test_what_is_given_out_is_not_what_is_kept() -> None:
    with MemoryStore(dimension=8) as store:
        store.upsert(RECORDS[:1])
        [passage] = store.scroll()
        passage.metadata["tag"].append("more")  # type: ignore[union-attr]
        assert list(store.scroll()) == [RECORDS[0].passage]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_fork_has_a_copy_of_its_own() -> None:
    code = """
import os, threading
import numpy as np
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import MemoryStore, Record
from unimoer_rag.retrieval.types import Passage
store = MemoryStore(dimension=2)
record = Record(Passage("text", "a.md"), np.ones(2, np.float32), SparseVector((), ()))
store.upsert([record])
held, leave = threading.Event(), threading.Event()
def hold():
    with store._lock:
        held.set()
        leave.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
if (child := os.fork()) == 0:
    os._exit(0 if store.delete([record.passage.id]) == 1 else 1)
assert os.waitpid(child, 0)[1] == 0
leave.set()
assert store.count() == 1
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
