from __future__ import annotations

from collections.abc import Iterator

import pytest
from store_contract import StoreContract

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.store import ServerStore, Store


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
