"""UniMoEREmbeddings: LangChain's standard tests, the engine's values, and the framework's users."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_helpers import ASK, EXACT
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from langchain_text_splitters import RecursiveCharacterTextSplitter
from langchain_unimoer import UniMoEREmbeddings
from pydantic import ValidationError
from sentence_transformers import SentenceTransformer

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER

TEXTS = ["Refunds take five working days.", "東京の事務所は十時に開きます。", "A kayak 🛶 " * 40]


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return UniMoEREmbeddings


class TestIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return UniMoEREmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"query_instruction": ASK, **EXACT}


@pytest.mark.slow
async def test_vectors_are_the_engines(live: UniMoER) -> None:
    embeddings, engine = UniMoEREmbeddings(**EXACT), Engine.of(live)
    documents, queries = engine.embed(TEXTS), engine.embed(TEXTS, "query")
    for vectors in (embeddings.embed_documents(TEXTS), await embeddings.aembed_documents(TEXTS)):
        np.testing.assert_allclose(vectors, documents, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert {type(value) for vector in vectors for value in vector} == {float}
    for text, expected in zip(TEXTS, queries, strict=True):
        for vector in (embeddings.embed_query(text), await embeddings.aembed_query(text)):
            np.testing.assert_allclose(vector, expected, atol=1e-6)
            assert {type(value) for value in vector} == {float}


@pytest.mark.slow
async def test_many_at_once_are_as_one_by_one() -> None:
    embeddings = UniMoEREmbeddings(**EXACT)
    queries = [f"how heavy is boat {n}?" for n in range(20)]
    together = await asyncio.gather(*map(embeddings.aembed_query, queries))
    alone = [embeddings.embed_query(query) for query in queries]
    np.testing.assert_allclose(together, alone, atol=1e-6)


async def test_instructions_go_before_the_texts() -> None:
    plain = UniMoEREmbeddings(**EXACT)
    told = UniMoEREmbeddings(**EXACT, query_instruction=ASK, text_instruction="passage: ")
    asked = plain.embed_documents([ASK + TEXTS[0]])[0]
    np.testing.assert_allclose(told.embed_query(TEXTS[0]), asked, atol=1e-6)
    np.testing.assert_allclose(await told.aembed_query(TEXTS[0]), asked, atol=1e-6)
    passage = plain.embed_documents(["passage: " + TEXTS[0]])
    np.testing.assert_allclose(told.embed_documents(TEXTS[:1]), passage, atol=1e-6)
    np.testing.assert_allclose(await told.aembed_documents(TEXTS[:1]), passage, atol=1e-6)
    assert np.dot(asked, plain.embed_query(TEXTS[0])) < 0.99


@pytest.mark.slow
def test_no_instruction_is_the_models_own_and_empty_is_none(checkpoint: str) -> None:
    own = UniMoEREmbeddings(**EXACT, model=checkpoint)
    plain = UniMoEREmbeddings(**EXACT, model=checkpoint, query_instruction="")
    asked = plain.embed_query(ASK + TEXTS[0])
    np.testing.assert_allclose(own.embed_query(TEXTS[0]), asked, atol=1e-6)
    assert np.dot(asked, plain.embed_query(TEXTS[0])) < 0.99


@pytest.mark.slow
async def test_dimensions_cut_the_vectors(checkpoint: str) -> None:
    embeddings = UniMoEREmbeddings(**EXACT, model=checkpoint, dimensions=64)
    whole = UniMoEREmbeddings(**EXACT, model=checkpoint).embed_documents(TEXTS)
    cut = np.array(whole)[:, :64]
    expected = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), expected, atol=1e-6)
    np.testing.assert_allclose(await embeddings.aembed_documents(TEXTS), expected, atol=1e-6)
    assert len(embeddings.embed_query("short")) == len(await embeddings.aembed_query("short")) == 64
    with pytest.raises(ValidationError, match=r"dimensions is 100: .* of 64, 128, 384"):
        UniMoEREmbeddings(**EXACT, model=checkpoint, dimensions=100)


def test_settings_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"dimensions is 64: unimoer-minilm gives .* of 384"):
        UniMoEREmbeddings(**EXACT, dimensions=64)
    with pytest.raises(ValidationError, match=r"instruction\n.*Extra inputs are not permitted"):
        UniMoEREmbeddings(**EXACT, instruction=ASK)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="device 'abacus' cannot be used"):
        UniMoEREmbeddings(device="abacus")
    with pytest.raises(ValidationError, match="frozen"):
        UniMoEREmbeddings(**EXACT).dimensions = 64  # type: ignore[misc]


async def test_texts_that_cannot_be_embedded_are_named() -> None:
    embeddings = UniMoEREmbeddings(**EXACT)
    assert embeddings.embed_documents([]) == await embeddings.aembed_documents([]) == []
    with pytest.raises(InputError, match="document 1 is a int, expected a string"):
        embeddings.embed_documents(["text", 7])  # type: ignore[list-item]
    with pytest.raises(InputError, match="the query is empty"):
        await embeddings.aembed_query("")
    with pytest.raises(InputError, match="expected a list of them"):
        embeddings.embed_documents("text")  # type: ignore[arg-type]


@pytest.mark.parametrize("instruction", ["", "passage: "])
async def test_a_blank_text_does_not_stop_the_others(instruction: str) -> None:
    embeddings = UniMoEREmbeddings(**EXACT, text_instruction=instruction)
    texts = [TEXTS[0], "", " \n\t", "\u200b", TEXTS[1]]
    vectors = embeddings.embed_documents(texts)
    np.testing.assert_allclose(await embeddings.aembed_documents(texts), vectors, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    whole = embeddings.embed_documents([TEXTS[0], TEXTS[1]])
    np.testing.assert_allclose([vectors[0], vectors[-1]], whole, atol=1e-6)
    # Nothing to see is nothing to tell apart: all are the empty text.
    np.testing.assert_allclose(vectors[1:4], [vectors[1]] * 3, atol=1e-6)


def test_the_vector_of_the_empty_text_is_the_backbones(minilm_path: Path) -> None:
    rival = SentenceTransformer(str(minilm_path), device="cpu")
    expected = rival.encode([""], normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(
        UniMoEREmbeddings(**EXACT).embed_documents([""]), expected, atol=1e-5
    )


async def test_a_vector_store_takes_blank_texts() -> None:
    texts = ["Refunds take five working days.", "", "  "]
    store = InMemoryVectorStore.from_texts(texts, UniMoEREmbeddings(**EXACT))
    assert (await store.asimilarity_search("money back", k=1))[0].page_content == texts[0]
    assert len(store.similarity_search("money back", k=3)) == 3


@pytest.mark.slow
async def test_texts_that_are_cut_are_told_of_once(live: UniMoER) -> None:
    embeddings = UniMoEREmbeddings(**EXACT)
    long = "A kayak 🛶. " * 400
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than the 256 tokens") as told:
        vectors = embeddings.embed_documents(["short", long])
    np.testing.assert_allclose(vectors, Engine.of(live).embed(["short", long]), atol=1e-6)
    assert await embeddings.aembed_documents([long])  # a warning would be an error
    assert embeddings.embed_query(long)
    # What it says to do helps.
    assert "embeddings.unimoer.tokenizer, chunk_size=192" in str(told[0].message)
    splitter = RecursiveCharacterTextSplitter.from_huggingface_tokenizer(
        embeddings.unimoer.tokenizer, chunk_size=192, chunk_overlap=32
    )
    again = pickle.loads(pickle.dumps(embeddings))
    again.embed_documents(splitter.split_text(long))
    with pytest.warns(UserWarning, match="1 of 1 texts"):
        again.embed_documents([long])


async def test_a_vector_store_finds_by_them(live: UniMoER) -> None:
    store = InMemoryVectorStore(UniMoEREmbeddings(**EXACT))
    texts = ["Refunds take five working days.", "A kayak weighs thirty kilograms."]
    store.add_documents([Document(texts[0], metadata={"n": 0})])
    await store.aadd_documents([Document(texts[1], metadata={"n": 1})])
    engine = Engine.of(live)
    query = "when do I get my money back?"
    cosines = engine.embed(texts) @ engine.embed([query], "query")[0]
    for found in (
        store.similarity_search_with_score(query),
        await store.asimilarity_search_with_score(query),
    ):
        assert [document.metadata["n"] for document, _ in found] == [0, 1]
        np.testing.assert_allclose([score for _, score in found], cosines, atol=1e-5)
    assert (await store.as_retriever(search_kwargs={"k": 1}).ainvoke("boat"))[0].metadata["n"] == 1


def cached(embeddings: UniMoEREmbeddings, queries: Any, store: Any) -> CacheBackedEmbeddings:
    return CacheBackedEmbeddings.from_bytes_store(
        embeddings,
        store,
        namespace=embeddings.cache_namespace,
        query_embedding_cache=queries,
        key_encoder="sha256",
    )


async def test_a_cache_keeps_queries_apart_in_a_store_of_their_own() -> None:
    embeddings = UniMoEREmbeddings(**EXACT, query_instruction=ASK)
    text = TEXTS[0]
    as_document, as_query = embeddings.embed_documents([text])[0], embeddings.embed_query(text)
    assert np.dot(as_document, as_query) < 0.99

    shared = cached(embeddings, True, InMemoryByteStore())
    shared.embed_documents([text])
    # The framework's keys hold the text alone: this is what `cache_namespace` warns of.
    np.testing.assert_allclose(shared.embed_query(text), as_document, atol=1e-6)

    apart = cached(embeddings, InMemoryByteStore(), InMemoryByteStore())
    for _ in range(2):  # the second time out of the caches
        np.testing.assert_allclose(apart.embed_documents([text])[0], as_document, atol=1e-6)
        np.testing.assert_allclose(await apart.aembed_query(text), as_query, atol=1e-6)


def test_one_store_serves_caches_of_different_settings() -> None:
    store = InMemoryByteStore()
    told = UniMoEREmbeddings(**EXACT, text_instruction="passage: ")
    plain = UniMoEREmbeddings(**EXACT)
    for embeddings in (told, plain):
        vectors = cached(embeddings, False, store).embed_documents(TEXTS[:1])
        np.testing.assert_allclose(vectors, embeddings.embed_documents(TEXTS[:1]), atol=1e-6)
    assert len(list(store.yield_keys())) == 2


@pytest.mark.slow
def test_the_namespace_stands_for_what_decides_the_vectors(checkpoint: str) -> None:
    settings = {**EXACT, "model": checkpoint}
    plain = UniMoEREmbeddings(**settings)
    same = [
        UniMoEREmbeddings(model=checkpoint),
        UniMoEREmbeddings(**settings, query_instruction=ASK, text_instruction="", dimensions=384),
    ]
    other = [
        UniMoEREmbeddings(**EXACT),
        UniMoEREmbeddings(**settings, query_instruction=""),
        UniMoEREmbeddings(**settings, text_instruction=ASK),
        UniMoEREmbeddings(**settings, dimensions=64),
    ]
    assert {embeddings.cache_namespace for embeddings in same} == {plain.cache_namespace}
    assert len({embeddings.cache_namespace for embeddings in [plain, *other]}) == 5
    assert plain.cache_namespace.replace("-", "").isalnum()  # fit for file names
