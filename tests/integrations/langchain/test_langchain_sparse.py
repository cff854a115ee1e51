"""UniMoERSparseEmbeddings in langchain-qdrant's store: BM25 by its formula, alone and hybrid."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_helpers import EXACT
from langchain_unimoer import UniMoEREmbeddings

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import tokenize
from unimoer_rag.retrieval.retriever import UnifiedRetriever

qdrant = pytest.importorskip("langchain_qdrant")
UniMoERSparseEmbeddings = pytest.importorskip(
    "langchain_unimoer.sparse_embeddings"
).UniMoERSparseEmbeddings

TEXTS = [
    "Refunds take five working days. Refunds go back to the card that paid.",
    "The library opens at nine and shuts at six.",
    "A kayak for two weighs thirty kilograms.",
    "Paris is the capital of France, and opens its museums at nine.",
]
QUERIES = ["refunds to a card", "when does it open?", "opening at nine", "kayaks weigh"]


def bm25(query: str, k1: float = 1.2, b: float = 0.75, average: float = 88.0) -> dict[int, float]:
    """Robertson and Zaragoza's score of each text that shares a word with a query."""
    documents = [Counter(tokenize(text, "english")) for text in TEXTS]
    scores: dict[int, float] = {}
    for at, words in enumerate(documents):
        length = words.total()
        for term, asked in Counter(tokenize(query, "english")).items():
            n = sum(term in other for other in documents)
            idf = math.log(1 + (len(TEXTS) - n + 0.5) / (n + 0.5))
            share = words[term] * (k1 + 1) / (words[term] + k1 * (1 - b + b * length / average))
            if share:
                scores[at] = scores.get(at, 0.0) + asked * idf * share
    return scores


def filled(mode: Any, sparse: Any, embedding: Any = None) -> Any:
    documents = [Document(text, metadata={"at": at}) for at, text in enumerate(TEXTS)]
    return qdrant.QdrantVectorStore.from_documents(
        documents,
        embedding,
        retrieval_mode=mode,
        sparse_embedding=sparse,
        sparse_vector_params=sparse.vector_params,
        location=":memory:",
    )


@pytest.mark.parametrize("settings", [{}, {"k1": 2.0, "b": 0.1, "average_length": 7.0}])
def test_scores_are_bm25(settings: dict[str, float]) -> None:
    sparse = UniMoERSparseEmbeddings(**settings)
    store = filled(qdrant.RetrievalMode.SPARSE, sparse)
    formula = {"average" if name == "average_length" else name: v for name, v in settings.items()}
    for query in QUERIES:
        found = store.similarity_search_with_score(query, k=4)
        expected = bm25(query, **formula)
        assert expected
        scores = {document.metadata["at"]: score for document, score in found if score}
        assert scores == pytest.approx(expected, rel=1e-5)
    store.client.close()


def test_words_are_those_of_our_own_index() -> None:
    store = filled(qdrant.RetrievalMode.SPARSE, UniMoERSparseEmbeddings())
    with UnifiedRetriever(**EXACT, mode="sparse", rerank=0, chunking="whole") as retriever:
        retriever.add(TEXTS)
        for query in QUERIES:
            hits = retriever.search(query, k=4)
            found = store.similarity_search_with_score(query, k=len(hits))
            assert [document.page_content for document, _ in found] == [hit.text for hit in hits]
            scores = [score for _, score in found]
            assert scores == pytest.approx([hit.score for hit in hits], rel=1e-5)
    store.client.close()


def test_hybrid_search_fuses_words_and_vectors() -> None:
    dense = UniMoEREmbeddings(**EXACT)
    store = filled(qdrant.RetrievalMode.HYBRID, UniMoERSparseEmbeddings(), embedding=dense)
    for query, first in (("refunds to a card", 0), ("how heavy is a kayak?", 2)):
        assert store.similarity_search(query, k=2)[0].metadata["at"] == first
    # No word of it is in any text, so it is the vectors that find.
    assert store.similarity_search("getting my money back", k=1)[0].metadata["at"] == 0
    retriever = store.as_retriever(search_kwargs={"k": 1})
    assert retriever.invoke("opening at nine")[0].metadata["at"] in (1, 3)
    store.client.close()


async def test_vectors_of_nothing_and_of_other_languages() -> None:
    sparse = UniMoERSparseEmbeddings("german")
    first, second, empty = await sparse.aembed_documents(["Die Bücher", "ein Buch", " the "])
    assert first.indices == second.indices == (await sparse.aembed_query("Buch")).indices
    assert (empty.indices != [], (await sparse.aembed_query("")).indices) == (True, [])
    assert UniMoERSparseEmbeddings().embed_documents(["the"])[0].indices == []
    with pytest.raises(InputError, match="klingon"):
        UniMoERSparseEmbeddings("klingon")
