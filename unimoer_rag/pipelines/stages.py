"""The stages around the generator: retrieve and rerank, select, cite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from unimoer_rag.generation import Citation
from unimoer_rag.model import RowMaker
from unimoer_rag.pipelines.tracing import Stage, Trace
from unimoer_rag.retrieval import Hit, Passage, UnifiedRetriever, rerank_depth
from unimoer_rag.retrieval.retriever import Filters

__all__ = ["asearch", "cite", "search", "select"]


def search(
    retriever: UnifiedRetriever, query: str, *, n: int, filters: Filters | None, trace: Trace
) -> list[Hit]:
    """Passages found for a query, all of them reranked where the retriever reranks, best first.

    Where its `rerank="auto"` leaves the first stage's results as they are, only the first `n` come
    back, reranked too: whoever reads them weighs an answer by the passage's probability.

    Args:
        retriever: finds and reranks.
        query: what to look for.
        n: passages wanted at least.
        filters: conditions on passages.
        trace: times both stages.
    """
    with trace.stage("retrieve") as stage:
        k = max(n, rerank_depth(retriever.rerank))
        found = retriever.search(query, k=k, rerank=0, filters=filters)
        _tell_found(stage, retriever, query, found)
    if not retriever.rerank:
        return found
    with trace.stage("rerank") as stage:
        found = retriever.to_rerank(found, at_least=n)
        return _tell_ranked(stage, retriever, retriever.rank_hits(query, found))


async def asearch(
    retriever: UnifiedRetriever, query: str, *, n: int, filters: Filters | None, trace: Trace
) -> list[Hit]:
    """`search` without blocking the event loop."""
    with trace.stage("retrieve") as stage:
        k = max(n, rerank_depth(retriever.rerank))
        found = await retriever.asearch(query, k=k, rerank=0, filters=filters)
        _tell_found(stage, retriever, query, found)
    if not retriever.rerank:
        return found
    with trace.stage("rerank") as stage:
        found = retriever.to_rerank(found, at_least=n)
        return _tell_ranked(stage, retriever, await retriever.arank_hits(query, found))


def _tell_found(
    stage: Stage, retriever: UnifiedRetriever, query: str, found: Sequence[Hit]
) -> None:
    stage.tell(
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.request.model": retriever.model.checkpoint,
            "unimoer.mode": retriever.mode,
            "unimoer.hits": len(found),
        }
    )
    stage.quote({"gen_ai.retrieval.query.text": query})


def _tell_ranked(stage: Stage, retriever: UnifiedRetriever, hits: list[Hit]) -> list[Hit]:
    stage.tell(
        {
            "gen_ai.request.model": retriever.model.checkpoint,
            "unimoer.hits": len(hits),
            "unimoer.top_score": hits[0].score if hits else None,
        }
    )
    return hits


def select(
    hits: Sequence[Hit],
    *,
    n: int,
    min_score: float,
    max_tokens: int | None,
    rows: RowMaker,
    trace: Trace,
) -> list[Hit]:
    """The passages to read: good enough, the best `n` at most, as many of those as fit.

    Args:
        hits: best first.
        n: passages at most.
        min_score: what is scored below is left out.
        max_tokens: of the passages together; the best one stays however long it is.
        rows: counts tokens.
        trace: times it.
    """
    with trace.stage("select") as stage:
        kept = [hit for hit in hits[:n] if hit.score >= min_score]
        if max_tokens is not None:
            sums = list(accumulate(rows.count(hit.passage.content) for hit in kept))
            kept = kept[: max(1, sum(tokens <= max_tokens for tokens in sums))]
            stage.tell({"unimoer.tokens": sums[len(kept) - 1] if kept else 0})
        stage.tell({"unimoer.hits": len(kept)})
    return kept


def cite(citations: Iterable[Citation], *, trace: Trace) -> list[Citation]:
    """Each place once, best first: passages that overlap give the same words twice."""
    with trace.stage("cite") as stage:
        places: dict[tuple[int, int], list[Citation]] = {}
        kept: list[Citation] = []
        for citation in citations:
            there = places.setdefault((citation.start, citation.end), [])
            if not any(_same_document(citation.hit.passage, one.hit.passage) for one in there):
                there.append(citation)
                kept.append(citation)
        stage.tell({"unimoer.citations": len(kept)})
    return kept


def _same_document(one: Passage, other: Passage) -> bool:
    """Whether two passages that overlap are of one document, as far as they tell.

    A source may have many documents without ids. Those of one say the same where they overlap.
    """
    if (one.source, one.document_id, one.title) != (other.source, other.document_id, other.title):
        return False
    start, end = max(one.start, other.start), min(one.end, other.end)
    return (
        one.text[start - one.start : end - one.start]
        == (other.text[start - other.start : end - other.start])
    )
