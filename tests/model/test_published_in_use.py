"""A published folder behind the retriever and both frameworks' adapters, by its path alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_unimoer import UniMoEREmbeddings, UniMoERRetriever
from llama_index.embeddings.unimoer import UniMoEREmbedding
from sentence_folders import DOCUMENTS, QUERIES, save_published
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from unimoer_rag.errors import IndexMismatchError
from unimoer_rag.retrieval.retriever import UnifiedRetriever

pytestmark = pytest.mark.slow

EXACT = {"device": "cpu", "dtype": "float32"}
UNIT = {"normalize_embeddings": True}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, SentenceTransformer]:
    folder = tmp_path_factory.mktemp("written")
    model = save_published(
        "xlm-roberta", folder, pooling="cls", steps=[Dense(32, 24), Normalize()],
        prompts={"query": "who asks: ", "document": "Paris, and "},
    )  # fmt: skip
    return str(folder / "published"), model


def test_the_retriever_finds_in_the_published_order(
    written: tuple[str, SentenceTransformer], tmp_path: Path
) -> None:
    folder, model = written
    index = tmp_path / "index"
    with UnifiedRetriever(folder, index=index, chunking="whole", **EXACT) as retriever:
        retriever.add(DOCUMENTS)
        assert retriever.dimensions == 24
        documents = model.encode_document(DOCUMENTS, **UNIT)
        for query in QUERIES:
            cosines = documents @ model.encode_query(query, **UNIT)
            hits = retriever.search(query, k=len(DOCUMENTS), rerank=0)
            order = (-cosines).argsort()
            assert [hit.text for hit in hits] == [DOCUMENTS[at] for at in order]
            np.testing.assert_allclose([hit.score for hit in hits], cosines[order], atol=1e-4)
    with UnifiedRetriever(folder, index=index, **EXACT) as again:
        assert again.search(QUERIES[0], k=1, rerank=4)
    with pytest.raises(IndexMismatchError):
        UnifiedRetriever("minilm", index=index, **EXACT)


def test_langchain_embeds_as_published(written: tuple[str, SentenceTransformer]) -> None:
    folder, model = written
    embeddings = UniMoEREmbeddings(model=folder, **EXACT)
    np.testing.assert_allclose(
        embeddings.embed_documents(DOCUMENTS), model.encode_document(DOCUMENTS, **UNIT), atol=1e-4
    )
    np.testing.assert_allclose(
        embeddings.embed_query(QUERIES[0]), model.encode_query(QUERIES[0], **UNIT), atol=1e-4
    )
    plain = UniMoEREmbeddings(model=folder, text_instruction="", **EXACT)
    assert plain.cache_namespace != embeddings.cache_namespace
    np.testing.assert_allclose(
        plain.embed_documents(DOCUMENTS), model.encode(DOCUMENTS, **UNIT), atol=1e-4
    )
    retriever = UniMoERRetriever.from_documents(
        [Document(text) for text in DOCUMENTS], model=folder, chunking="whole", k=1, rerank=0,
        **EXACT,
    )  # fmt: skip
    cosines = model.encode_document(DOCUMENTS, **UNIT) @ model.encode_query(QUERIES[0], **UNIT)
    assert retriever.invoke(QUERIES[0])[0].page_content == DOCUMENTS[int(cosines.argmax())]


def test_llama_index_embeds_as_published(written: tuple[str, SentenceTransformer]) -> None:
    folder, model = written
    embedding = UniMoEREmbedding(model_name=folder, **EXACT)
    np.testing.assert_allclose(
        embedding.get_text_embedding_batch(DOCUMENTS),
        model.encode_document(DOCUMENTS, **UNIT),
        atol=1e-4,
    )
    np.testing.assert_allclose(
        embedding.get_query_embedding(QUERIES[0]), model.encode_query(QUERIES[0], **UNIT), atol=1e-4
    )
