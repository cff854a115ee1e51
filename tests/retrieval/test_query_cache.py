"""Answers to earlier queries: what is given again, to whom, and what never is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.query_cache import QueryCache
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.search import Search
from unimoer_rag.retrieval.types import Document, Hit, Passage

DOCUMENTS = [
    Document("Refunds take five working days.", "refunds.md", metadata={"year": 2023}),
    Document("The library opens at nine and closes at six.", "library.md"),
    Document("A kayak for two weighs thirty kilograms.", "kayak.md"),
]
QUERY = "how long do refunds take?"


@pytest.fixture
def cached(minilm: UniMoER) -> Iterator[UnifiedRetriever]:
    with UnifiedRetriever(minilm, query_cache=QueryCache(10)) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def plan(*queries: str, k: int = 5, filters: dict[str, str] | None = None) -> Search:
    return Search(queries=queries, k=k, depth=0, mode="dense", filters=filters)


def hit(text: str) -> Hit:
    return Hit(Passage(text, text), dense=0.5)


def ask(
    cache: QueryCache, query: str, vector: list[float], found: str, *, k: int = 5
) -> tuple[str, str | None]:
    """One search that would find `found`: what it gives, and the query that was found for."""
    lookup = cache.look_up(plan(query, k=k))
    if lookup.left.queries:
        lookup.near(np.array([vector], dtype=np.float32))
    (hits,) = lookup.finish([[hit(found)] for _ in lookup.left.queries])
    return hits[0].text, hits[0].from_query


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


# -- the same words ---------------------------------------------------------------------------


def test_the_same_query_is_searched_for_once(cached: UnifiedRetriever) -> None:
    first = cached.search(QUERY)
    again = cached.search(f"  {QUERY.replace(' ', '   ')}\n")
    assert again == first
    assert asyncio.run(cached.asearch(QUERY)) == first
    assert cached.search_batch([QUERY, "kayaks"])[0] == first
    assert (cached.stats.searches, cached.stats.exact, cached.stats.reranked) == (5, 3, 2)
    assert all(one.from_query is None for one in first)


def test_other_settings_are_another_search(cached: UnifiedRetriever) -> None:
    ways: list[dict[str, object]] = [
        {},
        {"k": 1},
        {"rerank": 0},
        {"mode": "hybrid"},
        {"mode": "sparse"},
        {"filters": {"year": 2023}},
        {"filters": {"year": {"gte": 2030}}},
    ]
    first = [cached.search(QUERY, **way) for way in ways]  # type: ignore[arg-type]
    assert cached.stats.exact == 0
    assert [cached.search(QUERY, **way) for way in ways] == first  # type: ignore[arg-type]
    assert cached.stats.exact == len(ways)
    with pytest.raises(InputError, match="unknown operator"):
        cached.search(QUERY, filters={"year": {"after": 2}})


def test_nothing_is_kept_unless_it_is_asked_for(minilm: UniMoER) -> None:
    with UnifiedRetriever(minilm) as retriever:
        retriever.add(DOCUMENTS)
        assert retriever.search(QUERY) == retriever.search(QUERY)
        assert retriever.stats.exact == 0
        assert len(retriever.query_cache) == 0


def test_what_is_done_to_hits_stays_out_of_the_cache(cached: UnifiedRetriever) -> None:
    first = cached.search(QUERY, k=1)
    for hits in (first, cached.search(QUERY, k=1)):
        hits[0].passage.metadata["year"] = 1999  # type: ignore[index]
        hits.clear()
    assert cached.search(QUERY, k=1)[0].passage.metadata == {"year": 2023}


# -- writes -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("home", ["memory", "folder"])
def test_a_write_is_seen_at_once(minilm: UniMoER, tmp_path: Path, home: str) -> None:
    index = tmp_path / "index" if home == "folder" else None
    with UnifiedRetriever(minilm, index=index, query_cache=QueryCache(semantic=0.9)) as retriever:
        retriever.add(DOCUMENTS)
        assert retriever.search(QUERY, k=1)[0].source == "refunds.md"
        retriever.add([Document("How long do refunds take? Ten days.", "new.md")])
        assert retriever.search(QUERY, k=1)[0].source == "new.md"
        retriever.delete(filters={"source": "new.md"})
        assert retriever.search(QUERY, k=1)[0].source == "refunds.md"
        assert retriever.stats.exact + retriever.stats.semantic == 0


def test_what_was_looked_for_during_a_write_is_not_kept() -> None:
    cache = QueryCache(semantic=0.5)
    before = cache.look_up(plan("a"))
    with cache.writing():
        during = cache.look_up(plan("b"))
        assert ask(cache, "c", [1, 0], "half written") == ("half written", None)
        before.near(np.ones((1, 2), np.float32))
        before.finish([[hit("old")]])
        assert len(cache) == 0
    during.near(np.ones((1, 2), np.float32))
    during.finish([[hit("half written")]])
    assert len(cache) == 0
    assert ask(cache, "a", [1, 0], "new") == ("new", None)


@given(st.lists(st.sampled_from(["ask a", "ask b", "ask near a", "write", "expire"]), max_size=30))
@settings(deadline=None)
def test_what_is_given_is_never_older_than_the_last_write(steps: list[str]) -> None:
    clock = Clock()
    cache = QueryCache(1, semantic=0.9, ttl=10, clock=clock)
    vectors = {"a": [1.0, 0.0], "near a": [0.99, 0.1], "b": [0.0, 1.0]}
    version = 0
    for step in steps:
        match step.split(maxsplit=1):
            case ["ask", query]:
                text, source = ask(cache, query, vectors[query], f"{query[-1]} in {version}")
                assert text == f"{query[-1]} in {version}"
                assert source in (None, "a", "near a")
            case ["write"]:
                version += 1
                cache.clear()
            case _:
                version += 1
                clock.now += 10
        assert len(cache) <= 1


@pytest.mark.slow
def test_readers_and_a_writer_at_once(minilm: UniMoER) -> None:
    with UnifiedRetriever(minilm, query_cache=QueryCache(semantic=0.95), k=3) as retriever:
        retriever.add(DOCUMENTS)
        done = threading.Event()

        def read() -> None:  # what it raises is a warning, which fails the test
            while not done.is_set():
                assert retriever.search(QUERY)
                assert retriever.search("when does the library open?", rerank=0)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        try:
            for n in range(5):
                retriever.add([Document(f"{QUERY} {n} days.", "new.md")])
                assert any(f"{n} days" in one.text for one in retriever.search(QUERY))
        finally:
            done.set()
            for reader in readers:
                reader.join()
        stats = retriever.stats
        assert stats.searches > 10
        assert stats.searches >= stats.exact + stats.semantic


# -- near queries -----------------------------------------------------------------------------


def test_a_near_query_gets_what_was_found_for_the_other_and_says_so(minilm: UniMoER) -> None:
    with UnifiedRetriever(minilm, query_cache=QueryCache(semantic=0.8)) as retriever:
        retriever.add(DOCUMENTS)
        first = retriever.search(QUERY)
        near = retriever.search("how long does a refund take?")
        assert [one.from_query for one in near] == [QUERY] * len(first)
        assert [replace(one, from_query=None) for one in near] == first
        assert near[0].to_dict()["from_query"] == QUERY
        far, known = retriever.search_batch(["when does the library open?", QUERY])
        assert far[0].source == "library.md"
        assert known == first
        assert (retriever.stats.semantic, retriever.stats.exact) == (1, 1)
        assert asyncio.run(retriever.asearch("how long does a refund take"))[0].from_query == QUERY


def test_bm25_finds_the_same_words_alone(minilm: UniMoER) -> None:
    with UnifiedRetriever(minilm, mode="sparse", query_cache=QueryCache(semantic=0.1)) as retriever:
        retriever.add(DOCUMENTS)
        retriever.search("refunds take days")
        retriever.search("refunds take working days")
        retriever.search("refunds take days")
        assert (retriever.stats.semantic, retriever.stats.exact) == (0, 1)


def test_the_nearest_is_given_within_the_same_settings() -> None:
    cache = QueryCache(semantic=0.94)
    ask(cache, "near", [1, 0.3], "near")
    ask(cache, "nearer", [1, 0.8], "nearer")
    assert ask(cache, "new", [1, 0.7], "new") == ("nearer", "nearer")
    assert ask(cache, "new", [1, 0.7], "new", k=4) == ("new", None)
    assert ask(cache, "opposite", [-1, 0], "opposite") == ("opposite", None)


def test_the_one_not_asked_for_longest_goes_first() -> None:
    cache = QueryCache(2, semantic=0.99)
    for query, vector in (("a", [1.0, 0]), ("b", [0, 1.0]), ("a", [1.0, 0]), ("c", [-1.0, 0])):
        ask(cache, query, vector, query)
    assert len(cache) == 2
    assert ask(cache, "like a", [1, 0], "new")[1] == "a"
    assert ask(cache, "like b", [0, 1], "new")[1] is None


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"entries": -1}, "entries is -1"),
        ({"entries": True}, "entries is True"),
        ({"semantic": 0}, "semantic is 0"),
        ({"semantic": 1.1}, "semantic is 1.1"),
        ({"semantic": float("nan")}, "semantic is nan"),
        ({"ttl": 0}, "ttl is 0"),
    ],
)
def test_settings_that_cannot_be_used(settings_: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        QueryCache(**settings_)  # type: ignore[arg-type]


def test_a_cache_belongs_to_one_retriever(minilm: UniMoER) -> None:
    cache = QueryCache()
    with (
        UnifiedRetriever(minilm, query_cache=cache),
        pytest.raises(InputError, match="belongs to another retriever"),
    ):
        UnifiedRetriever(minilm, query_cache=cache)
