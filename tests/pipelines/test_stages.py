"""What is read, and what is cited of it."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import DOCUMENTS

from unimoer_rag.generation.types import Citation
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.pipelines.stages import cite, select
from unimoer_rag.pipelines.tracing import Trace
from unimoer_rag.retrieval.auto_rerank import AutoRerank, Rerank
from unimoer_rag.retrieval.query_cache import QueryCache
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.types import Hit, Passage


class Words:
    """Counts words in place of tokens."""

    def count(self, text: str) -> int:
        return len(text.split())


def hit(score: float, words: int, source: str = "a.md", start: int = 0) -> Hit:
    return Hit(Passage("word " * words, source, start=start, end=start + 5 * words), rerank=score)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9)), max_size=8),
    st.integers(1, 9),
    st.floats(0, 1),
    st.none() | st.integers(1, 30),
)
def test_the_best_are_read_as_many_as_fit(
    found: list[tuple[float, int]], n: int, min_score: float, max_tokens: int | None
) -> None:
    hits = [hit(*one) for one in sorted(found, reverse=True)]
    kept = select(
        hits,
        n=n,
        min_score=min_score,
        max_tokens=max_tokens,
        rows=Words(),  # type: ignore[arg-type]
        trace=Trace(None),
    )
    assert kept == hits[: len(kept)]
    assert len(kept) <= n
    assert all(one.score >= min_score for one in kept)
    following = hits[len(kept) : len(kept) + 1]
    sizes = [len(one.text.split()) for one in (*kept, *following)]
    if max_tokens is not None and len(kept) > 1:
        assert sum(sizes[: len(kept)]) <= max_tokens
    for left in following:  # it was left out for a reason
        full = len(kept) == n
        long = max_tokens is not None and sum(sizes) > max_tokens and kept
        assert full or long or left.score < min_score


@pytest.mark.parametrize("rerank", [10, AutoRerank(dense=-math.inf, depth=10)])
def test_what_is_asked_again_is_known(frozen: UniMoER, rerank: Rerank) -> None:
    """A pipeline searches as everybody does, the query cache included."""
    cache = QueryCache(9)
    with UnifiedRetriever(frozen, rerank=rerank, query_cache=cache) as retriever:
        retriever.add(DOCUMENTS.values())
        pipeline = RagPipeline(retriever, threshold=0.0)
        first = pipeline.answer("How long do refunds take?")
        again = asyncio.run(pipeline.aanswer("How long do refunds take?"))
        assert (again.hits, again.text) == (first.hits, first.text)
        assert (retriever.stats.exact, retriever.stats.searches) == (1, 2)


def test_each_place_is_cited_once_by_its_best_passage() -> None:
    # The same words in two passages that overlap, in another place, and in another document.
    first, second, other = hit(0.9, 20), hit(0.8, 20, start=50), hit(0.7, 20, source="b.md")
    citations = [
        Citation("word", first, 60, 64, 0.9),
        Citation("word", second, 60, 64, 0.8),
        Citation("word", second, 70, 74, 0.7),
        Citation("word", other, 60, 64, 0.6),
    ]
    trace = Trace(None)
    assert cite(citations, trace=trace) == [citations[0], citations[2], citations[3]]
    assert trace.timings.keys() == {"cite", "total"}


def test_places_in_two_documents_of_one_source_are_both_cited() -> None:
    def citation(text: str, **named: str) -> Citation:
        passage = Passage(text, "wiki", end=len(text), **named)  # type: ignore[arg-type]
        return Citation("14 days", Hit(passage), 13, 20, 0.9)

    paris, rome = "Refunds take 14 days in Paris.", "Refunds take 14 days in Rome."
    for different in (
        [citation(paris, title="Paris"), citation(paris, title="Rome")],
        [citation(paris, document_id="1"), citation(paris, document_id="2")],
        [citation(paris), citation(rome)],
    ):
        assert cite(different, trace=Trace(None)) == different
    assert len(cite([citation(paris), citation(paris)], trace=Trace(None))) == 1
