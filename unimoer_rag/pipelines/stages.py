"""The stages around the generator: retrieve and rerank, select, cite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import accumulate

from unimoer_rag.generation import Citation
from unimoer_rag.model import RowMaker
from unimoer_rag.pipelines.tracing import Stage, Trace
from unimoer_rag.retrieval import AutoRerank, Hit, Passage, UnifiedRetriever, rerank_depth
from unimoer_rag.retrieval.retriever import Filters
from unimoer_rag.steps import Steps, either

__all__ = ["cite", "search", "select"]


def search(
    retriever: UnifiedRetriever, query: str, *, n: int, filters: Filters | None, trace: Trace
) -> Steps[list[Hit]]:
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
    blocking, awaited = retriever.search, retriever.asearch
    with ExitStack() as until_done:
        stages = _Stages(retriever, trace, until_done)
        found = hits = yield from either(
            blocking, awaited, query, k=stages.depth(n), filters=filters, on_stage=stages
        )
        if stages.skipped(found):
            hits = yield from either(retriever.rank_hits, retriever.arank_hits, query, found[:n])
        return stages.tell(query, found, hits)


class _Stages:
    """The stages of one search, told of by `UnifiedRetriever.search(on_stage=)`.

    Args:
        retriever: searches.
        trace: times the stages.
        until_done: keeps the stages open, so that what was found can be told at the end.
    """

    def __init__(self, retriever: UnifiedRetriever, trace: Trace, until_done: ExitStack) -> None:
        self._retriever, self._trace, self._open = retriever, trace, until_done
        self._retrieve = self._begin("retrieve")
        self._rerank: Stage | None = None

    def depth(self, n: int) -> int:
        """How many hits to ask for: all that are reranked."""
        return max(n, rerank_depth(self._retriever.rerank))

    def __call__(self, ended: str) -> None:
        if ended == "retrieve":
            self._working.close()
            self._retrieve.stop()
            if self._retriever.rerank:
                self._rerank = self._begin("rerank")

    def skipped(self, found: Sequence[Hit]) -> bool:
        """Whether the first stage was so certain that nothing was reranked."""
        auto = isinstance(self._retriever.rerank, AutoRerank)
        return auto and bool(found) and found[0].rerank is None

    def tell(self, query: str, found: Sequence[Hit], hits: list[Hit]) -> list[Hit]:
        """What came of them; gives the hits."""
        model = self._retriever.embeds.checkpoint
        self._retrieve.tell(
            {
                "gen_ai.operation.name": "retrieval",
                "gen_ai.request.model": model,
                "unimoer.mode": self._retriever.mode,
                "unimoer.hits": len(found),
            }
        )
        self._retrieve.quote({"gen_ai.retrieval.query.text": query})
        if self._rerank is not None:
            self._rerank.tell(
                {
                    "gen_ai.request.model": model,
                    "unimoer.hits": len(hits),
                    "unimoer.top_score": hits[0].score if hits else None,
                }
            )
        return hits

    def _begin(self, name: str) -> Stage:
        stage = self._open.enter_context(self._trace.streaming(name))
        self._working = self._open.enter_context(ExitStack())
        self._working.enter_context(stage.working())
        return stage


def select(
    hits: Sequence[Hit],
    *,
    n: int,
    min_score: float,
    max_tokens: int | None,
    rows: RowMaker | None,
    trace: Trace,
) -> list[Hit]:
    """The passages to read: good enough, the best `n` at most, as many of those as fit.

    Args:
        hits: best first.
        n: passages at most.
        min_score: what is scored below is left out.
        max_tokens: of the passages together; the best one stays however long it is.
        rows: counts tokens; None where there is no limit.
        trace: times it.
    """
    with trace.stage("select") as stage:
        kept = [hit for hit in hits[:n] if hit.score >= min_score]
        if max_tokens is not None and rows is not None:
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
