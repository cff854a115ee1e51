"""UniMoERLLMCompressor keeps what a reranker of `ranking` puts first, and changes nothing."""

from __future__ import annotations

import copy

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_unimoer import UniMoERLLMCompressor
from pydantic import ValidationError
from ranking.oracle import DOCUMENTS, QUERY, Oracle, relevance_of

from unimoer_rag.errors import InputError
from unimoer_rag.ranking import Cascade, LLMReranker, Pairwise

N = 9
RELEVANCE = relevance_of(DOCUMENTS[:N])
FOUND = [
    Document(text, id=f"id-{at}", metadata={"at": at}) for at, text in enumerate(DOCUMENTS[:N])
]
RIGHT = sorted(range(N), key=lambda at: -RELEVANCE[DOCUMENTS[at]])


class Finds(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: object = None) -> list[Document]:
        return FOUND


def compressor(**settings: object) -> UniMoERLLMCompressor:
    reranker = LLMReranker(Pairwise(), Oracle(RELEVANCE))
    return UniMoERLLMCompressor(**{"reranker": reranker, **settings})


@pytest.mark.slow
@pytest.mark.parametrize("top_n", [1, 3, None])
def test_documents_come_in_the_rerankers_order(top_n: int | None) -> None:
    before = copy.deepcopy(FOUND)
    best = compressor(top_n=top_n).compress_documents(FOUND, QUERY)
    assert [document.metadata["at"] for document in best] == RIGHT[:top_n]
    scores = LLMReranker(Pairwise(), Oracle(RELEVANCE)).rank(QUERY, DOCUMENTS[:N])
    assert [document.metadata["relevance_score"] for document in best] == pytest.approx(
        [scores[at] for at in RIGHT[:top_n]]
    )
    assert before == FOUND
    assert compressor().compress_documents([], QUERY) == []


async def test_awaited_and_behind_a_retriever_it_is_the_same() -> None:
    awaited = await compressor().acompress_documents(FOUND, QUERY)
    assert [document.id for document in awaited] == [f"id-{at}" for at in RIGHT[:3]]
    behind = ContextualCompressionRetriever(base_compressor=compressor(), base_retriever=Finds())
    assert [document.id for document in behind.invoke(QUERY)] == [f"id-{at}" for at in RIGHT[:3]]


def test_a_cascade_and_blank_documents() -> None:
    cascade = Cascade(None, LLMReranker(Pairwise(), Oracle(RELEVANCE)), n=4)
    documents = [Document(" "), *FOUND]
    best = compressor(reranker=cascade, top_n=None).compress_documents(documents, QUERY)
    first = [at for at in RIGHT if at < 4]
    assert [document.metadata.get("at") for document in best] == [*first, *range(4, N), None]


def test_what_cannot_be_used() -> None:
    with pytest.raises(InputError, match="expected a text to rank by"):
        compressor().compress_documents(FOUND, " ")
    with pytest.raises(ValidationError, match="expected what ranks"):
        compressor(reranker="listwise")
    with pytest.raises(ValidationError, match="top_n is 0"):
        compressor(top_n=0)
    with pytest.raises(ValidationError, match="model"):
        compressor(model="x")
