"""The cache tells queries from texts, runs only what is new, and outlives the process."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.embeddings.unimoer.cache import VectorKind
from llama_index_helpers import EXACT, close
from pydantic import ValidationError

TEXTS = ["Refunds take five days.", "The library opens at nine.", "A kayak weighs thirty kilos."]


class Plain(BaseEmbedding):
    """What the framework makes of a model that tells queries from texts."""

    inner: Any

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.inner.get_query_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self.inner.aget_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.inner.get_text_embedding(text)


class Connected(SimpleKVStore):
    """Like the stores that hold a connection, which cannot be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = threading.Lock()


def make(store: Any = None, **settings: Any) -> UniMoEREmbedding:
    settings = {"query_instruction": "Find what answers: ", **EXACT, **settings}
    return UniMoEREmbedding(embeddings_cache=store, **settings)


def n_rows(embedding: UniMoEREmbedding) -> int:
    """Texts that went through the model so far."""
    return embedding._shared.engine.stats.rows


def keys(store: SimpleKVStore) -> set[str]:
    return set(store.get_all(collection="embeddings"))


def test_a_query_and_a_text_in_the_same_words_stay_apart(embedding: UniMoEREmbedding) -> None:
    cached, uncached = make(SimpleKVStore()), make()
    for _ in range(2):  # filling the cache, and reading from it
        assert cached.get_query_embedding(TEXTS[0]) != cached.get_text_embedding(TEXTS[0])
        close(cached.get_query_embedding(TEXTS[0]), uncached.get_query_embedding(TEXTS[0]))
        close(cached.get_text_embedding(TEXTS[0]), uncached.get_text_embedding(TEXTS[0]))
    # The framework's own cache, which this is in place of, mixes them up.
    plain = Plain(inner=uncached, embeddings_cache=SimpleKVStore())
    assert plain.get_query_embedding(TEXTS[0]) == plain.get_text_embedding(TEXTS[0])


def test_only_new_texts_are_run_and_each_once(embedding: UniMoEREmbedding) -> None:
    cached = make(SimpleKVStore())
    cached.get_text_embedding_batch(TEXTS[:1])
    before = n_rows(cached)
    vectors = cached.get_text_embedding_batch([*TEXTS, *TEXTS])
    assert n_rows(cached) - before == 2
    assert vectors[:3] == vectors[3:]
    assert cached.get_text_embedding_batch(TEXTS[::-1]) == vectors[2::-1]
    assert cached.get_text_embedding(TEXTS[1]) == vectors[1]
    assert n_rows(cached) - before == 2
    close(vectors[:3], embedding.get_text_embedding_batch(TEXTS))


async def test_async_calls_share_the_cache(embedding: UniMoEREmbedding) -> None:
    cached = make(SimpleKVStore())
    vectors = await cached.aget_text_embedding_batch([*TEXTS, TEXTS[0]])
    query = await cached.aget_query_embedding(TEXTS[0])
    before = n_rows(cached)
    assert cached.get_text_embedding_batch([*TEXTS, TEXTS[0]]) == vectors
    assert cached.get_query_embedding(TEXTS[0]) == query != vectors[0]
    again = asyncio.gather(*(cached.aget_text_embedding(text) for text in TEXTS))
    assert await again == vectors[:3]
    assert n_rows(cached) == before
    close(vectors[:3], embedding.get_text_embedding_batch(TEXTS))


def test_a_persisted_cache_comes_back(embedding: UniMoEREmbedding, tmp_path: Path) -> None:
    first = make(SimpleKVStore())
    vectors = first.get_text_embedding_batch(TEXTS)
    first.cache.persist(str(tmp_path / "cache.json"))
    second = make(SimpleKVStore.from_persist_path(str(tmp_path / "cache.json")))
    before = n_rows(second)
    assert second.get_text_embedding_batch(TEXTS) == vectors
    assert n_rows(second) == before


@pytest.mark.parametrize(
    ("setting", "other", "sides"),
    [
        ("model_name", "minilm", {"query", "text"}),
        ("query_instruction", "Another: ", {"query"}),
        ("text_instruction", "Another: ", {"text"}),
    ],
)
def test_one_store_serves_different_settings(
    embedding: UniMoEREmbedding, setting: str, other: str, sides: set[str]
) -> None:
    store = SimpleKVStore()

    def fill(**settings: Any) -> tuple[set[str], set[str]]:
        there, cached = keys(store), make(store, **settings)
        cached.get_query_embedding(TEXTS[0])
        query = keys(store) - there
        cached.get_text_embedding(TEXTS[0])
        return query, keys(store) - there - query

    assert tuple(map(len, fill())) == (1, 1)
    query, text = fill(**{setting: other})
    assert ("query" in sides, "text" in sides) == (bool(query), bool(text))


def test_a_setting_said_in_other_words_has_the_same_vectors(embedding: UniMoEREmbedding) -> None:
    store = SimpleKVStore()
    own = embedding._shared.model.query_instruction
    for settings in (
        {"query_instruction": None, "text_instruction": None, "dimensions": None},
        {"query_instruction": own, "text_instruction": "", "dimensions": 384},
    ):
        cached = make(store, **settings)
        cached.get_query_embedding(TEXTS[0])
        cached.get_text_embedding(TEXTS[0])
    assert len(keys(store)) == 2


def test_keys_are_digests_of_all_that_counts() -> None:
    kind = VectorKind("digest", "query", "find: ", 384)
    others = [
        VectorKind("other", "query", "find: ", 384),
        VectorKind("digest", "document", "find: ", 384),
        VectorKind("digest", "query", "", 384),
        VectorKind("digest", "query", "find: ", 64),
    ]
    made = [each.key("text") for each in [kind, *others]] + [kind.key("texts"), kind.key("\ud800")]
    assert len(set(made)) == len(made)
    assert {len(key) for key in made} == {64}
    # The instruction's end is no part of the text.
    assert VectorKind("d", "query", "a", 1).key("bc") != VectorKind("d", "query", "ab", 1).key("c")


def test_the_base_class_never_sees_the_store(embedding: UniMoEREmbedding) -> None:
    store = SimpleKVStore()
    cached = make(store)
    assert cached.cache is store
    assert cached.embeddings_cache is None
    assert embedding.cache is None
    with pytest.raises(ValidationError, match="frozen"):
        cached.embeddings_cache = store  # type: ignore[assignment]
    assert "embeddings_cache" not in cached.to_dict()


def test_copies_take_the_cache_along(embedding: UniMoEREmbedding) -> None:
    cached = make(SimpleKVStore())
    vector = cached.get_text_embedding(TEXTS[0])
    assert cached.model_copy().cache is cached.cache
    for copied in (pickle.loads(pickle.dumps(cached)), copy.deepcopy(cached)):
        assert copied.cache is not cached.cache
        before = n_rows(cached)
        assert copied.get_text_embedding(TEXTS[0]) == vector
        assert n_rows(cached) == before
        assert copied.get_query_embedding(TEXTS[0]) != vector
        assert copied.embeddings_cache is None


def test_a_store_that_cannot_be_pickled_stays_behind(
    embedding: UniMoEREmbedding, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = pickle.loads(pickle.dumps(make(Connected())))
    assert loaded.cache is None
    assert "_cache" in caplog.text
    close(loaded.get_text_embedding_batch(TEXTS), embedding.get_text_embedding_batch(TEXTS))


def test_a_text_that_fails_leaves_nothing_behind(embedding: UniMoEREmbedding) -> None:
    store = SimpleKVStore()
    with pytest.raises(ValueError, match="is a int"):
        make(store)._get_text_embeddings([TEXTS[0], 7])  # type: ignore[list-item]
    assert keys(store) == set()


async def test_many_at_once_agree(embedding: UniMoEREmbedding) -> None:
    cached = make(SimpleKVStore())
    found = await asyncio.gather(*(cached.aget_text_embedding_batch(TEXTS) for _ in range(8)))
    for vectors in found:
        np.testing.assert_allclose(vectors, found[0], atol=1e-5)
    assert len(keys(cached.cache)) == 3  # type: ignore[arg-type]
