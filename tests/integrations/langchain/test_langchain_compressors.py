"""UniMoERCompressor and UniMoERCrossEncoder: the contract, the model's values, the framework."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from compressor_contract import CompressorContract, StrictContract
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import (
    CrossEncoderReranker,
    DocumentCompressorPipeline,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_helpers import EXACT
from langchain_text_splitters import CharacterTextSplitter
from langchain_unimoer import UniMoERCompressor, UniMoERCrossEncoder, UniMoEREmbeddings
from pydantic import ValidationError

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.reranker import Reranker

QUERY = CompressorContract.query
TEXTS = CompressorContract.texts


class TestCompressorContract(StrictContract):
    def make(self, **settings: Any) -> BaseDocumentCompressor:
        return UniMoERCompressor(**EXACT, **settings)


class TestCrossEncoderRerankerContract(CompressorContract):
    """The framework's own compressor on our cross-encoder."""

    def make(self, **settings: Any) -> BaseDocumentCompressor:
        return CrossEncoderReranker(model=UniMoERCrossEncoder(**EXACT), **settings)


# -- the compressor ---------------------------------------------------------------------------


async def test_scores_and_order_are_the_rerankers(live: UniMoER) -> None:
    documents = [Document(text, metadata={"at": at}) for at, text in enumerate(TEXTS)]
    compressor = UniMoERCompressor(**EXACT, top_n=None)
    ranked = Reranker(Engine.of(live)).rank(QUERY, TEXTS)
    for compressed in (
        compressor.compress_documents(documents, QUERY),
        await compressor.acompress_documents(documents, QUERY),
    ):
        assert [d.metadata["at"] for d in compressed] == [place.index for place in ranked]
        assert [d.metadata["relevance_score"] for d in compressed] == pytest.approx(
            [place.score for place in ranked], abs=1e-5
        )


def test_three_documents_are_kept_by_default_and_none_keeps_all() -> None:
    documents = [Document(text) for text in TEXTS]
    assert len(UniMoERCompressor(**EXACT).compress_documents(documents, QUERY)) == 3
    assert len(UniMoERCompressor(**EXACT, top_n=None).compress_documents(documents, QUERY)) == 5


def test_a_subclass_of_document_keeps_its_kind() -> None:
    class Page(Document):
        number: int

    pages = [Page(page_content=text, number=at) for at, text in enumerate(TEXTS)]
    (best,) = UniMoERCompressor(**EXACT, top_n=1).compress_documents(pages, QUERY)
    assert isinstance(best, Page)
    assert best.number == TEXTS.index(CompressorContract.best)
    best.metadata["new"] = 1
    assert pages[best.number].metadata == {}


async def test_an_empty_query_is_refused() -> None:
    compressor = UniMoERCompressor(**EXACT)
    with pytest.raises(InputError, match="the query is empty"):
        compressor.compress_documents([Document("text")], " ")
    with pytest.raises(InputError, match="the query is empty"):
        await compressor.acompress_documents([Document("text")], "")


def test_top_n_is_a_whole_number() -> None:
    for top_n in (0, True, "3"):
        with pytest.raises(ValidationError, match=f"top_n is {top_n!r}: expected how many to keep"):
            UniMoERCompressor(top_n=top_n)  # type: ignore[arg-type]


async def test_waiting_takes_no_thread(while_held: Callable[..., Any]) -> None:
    compressor = UniMoERCompressor(**EXACT, top_n=1)
    documents = [Document(text) for text in TEXTS]
    answers = await while_held(
        *(compressor.acompress_documents(documents, f"{QUERY} {n}") for n in range(3))
    )
    assert [best.page_content for (best,) in answers] == [CompressorContract.best] * 3


async def test_many_at_once_are_as_one_by_one() -> None:
    compressor = UniMoERCompressor(**EXACT)
    documents = [Document(text) for text in TEXTS]
    queries = [QUERY, "capital of France", "opening hours", "boats"] * 5
    calls = [compressor.acompress_documents(documents, query) for query in queries]
    together = await asyncio.gather(*calls)
    for query, compressed in zip(queries, together, strict=True):
        alone = compressor.compress_documents(documents, query)
        assert [d.page_content for d in compressed] == [d.page_content for d in alone]


def test_it_works_in_a_pipeline_behind_a_splitter() -> None:
    splitter = CharacterTextSplitter(separator="\n", chunk_size=50, chunk_overlap=0)
    pipeline = DocumentCompressorPipeline(transformers=[splitter, UniMoERCompressor(**EXACT)])
    handbook = Document("\n".join(TEXTS), metadata={"source": "handbook.md"})
    compressed = pipeline.compress_documents([handbook], QUERY)
    assert [document.page_content for document in compressed][:2] == [TEXTS[2], TEXTS[4]]
    assert {document.metadata["source"] for document in compressed} == {"handbook.md"}


# -- the cross-encoder ------------------------------------------------------------------------


def test_each_pair_is_judged_for_itself(live: UniMoER) -> None:
    queries = [QUERY, "capital of France"]
    pairs = [(query, text) for text in TEXTS for query in queries]
    scores = UniMoERCrossEncoder(**EXACT).score(pairs)
    engine = Engine.of(live)
    expected = [float(engine.score(query, [text])[0]) for query, text in pairs]
    assert scores == pytest.approx(expected, abs=1e-5)
    assert {type(score) for score in scores} == {float}
    # Unlike ranking, where this checkpoint lets the documents tell of each other.
    told = [
        "Refunds take five working days. The money goes back to the card that paid.",
        "How long does it take to paddle?",
        "The money goes back to the card that paid.",
    ]
    alone = UniMoERCrossEncoder(**EXACT).score([(QUERY, text) for text in told])
    assert alone[1] > alone[2]
    among = engine.rank(QUERY, told)
    assert among[1] < among[2]


def test_pairs_of_nothing() -> None:
    encoder = UniMoERCrossEncoder(**EXACT)
    assert encoder.score([]) == []
    assert encoder.score([(QUERY, " "), (QUERY, "")]) == [0.0, 0.0]
    first, blank, last = encoder.score([(QUERY, TEXTS[2]), (QUERY, "\n"), (QUERY, TEXTS[0])])
    assert first > last > blank == 0.0
    for pairs in ([(" ", "text")], [("", "")]):
        with pytest.raises(InputError, match="the query is empty"):
            encoder.score(pairs)
    with pytest.raises(InputError, match="document 0 is a NoneType, expected a string"):
        encoder.score([(QUERY, None)])  # type: ignore[list-item]


def test_the_queries_of_a_call_share_batches(live: UniMoER) -> None:
    stats = Engine.of(live).stats
    before = stats.batches
    UniMoERCrossEncoder(**EXACT).score([(f"boat {n}?", f"text {n}") for n in range(20)])
    assert stats.batches - before <= 6


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="top_n"):
        UniMoERCrossEncoder(top_n=3)  # type: ignore[call-arg]


def test_the_frameworks_reranker_orders_what_a_vector_store_found() -> None:
    store = InMemoryVectorStore.from_texts(list(TEXTS), UniMoEREmbeddings(**EXACT))
    retriever = ContextualCompressionRetriever(
        base_compressor=CrossEncoderReranker(model=UniMoERCrossEncoder(**EXACT), top_n=2),
        base_retriever=store.as_retriever(search_kwargs={"k": 5}),
    )
    assert [d.page_content for d in retriever.invoke(QUERY)] == [TEXTS[2], TEXTS[4]]
