"""Pipelines over an index that keeps token states: they rerank by those, and encode no passage."""

from __future__ import annotations

import asyncio

import pytest
from shop import DOCUMENTS

from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.pipelines.stages import search
from unimoer_rag.pipelines.tracing import Trace
from unimoer_rag.retrieval.chunking import Chunking
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.steps import arun, run

QUESTION = "How long do refunds take?"


def filled(model: UniMoER, **options: str) -> UnifiedRetriever:
    retriever = UnifiedRetriever(model, chunking=Chunking(size=20, overlap=4), rerank=10, **options)  # type: ignore[arg-type]
    retriever.add(DOCUMENTS.values())
    return retriever


@pytest.mark.slow
def test_the_query_alone_is_encoded_and_the_order_is_the_same(
    frozen: UniMoER, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(frozen) as plain, filled(frozen, token_states="float16") as kept:
        expected = run(search(plain, QUESTION, n=3, filters=None, trace=Trace(None)))
        assert len(expected) > 3
        kept.engine.cache.clear()
        monkeypatch.setattr(kept.engine.cache, "capacity", 0)
        rows = kept.engine.stats.rows
        found = [
            run(search(kept, QUESTION, n=3, filters=None, trace=Trace(None))),
            asyncio.run(arun(search(kept, QUESTION, n=3, filters=None, trace=Trace(None)))),
        ]
        # Without a cache each embeds the query, and encodes it once more to rank by.
        assert kept.engine.stats.rows == rows + 4
        for hits in found:
            assert [hit.id for hit in hits] == [hit.id for hit in expected]
            assert [hit.rerank for hit in hits] == pytest.approx(
                [hit.rerank for hit in expected], abs=1e-3
            )
        answer = RagPipeline(kept, n_read=3, threshold=0.0).answer(QUESTION)
        assert answer.hits


def test_nothing_found_is_nothing_ranked(frozen: UniMoER) -> None:
    with filled(frozen, token_states="int8") as kept:
        nowhere = {"source": "no such source"}
        assert run(search(kept, QUESTION, n=3, filters=nowhere, trace=Trace(None))) == []
        assert kept.rank_hits(QUESTION, []) == asyncio.run(kept.arank_hits(QUESTION, [])) == []
