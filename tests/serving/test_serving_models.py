"""Embeddings and reranking over HTTP, asked by the clients that people have."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import numpy as np
import pytest
from openai import NotFoundError, OpenAI

from unimoer_rag import RagPipeline
from unimoer_rag.retrieval import Reranker

TEXTS = ["Refunds take 14 days.", "The shop opens at nine."]
QUERY = "how long do refunds take?"


@pytest.fixture(scope="module")
def openai(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        yield client


@pytest.mark.slow
def test_embeddings_are_the_library_s(openai: OpenAI, pipeline: RagPipeline) -> None:
    engine = pipeline.retriever.engine
    # The client asks for base64 by itself, and for numbers where it is told to.
    for form in ({}, {"encoding_format": "float"}):
        made = openai.embeddings.create(model="unimoer-minilm", input=TEXTS, **form)  # type: ignore[call-overload]
        vectors = np.array([one.embedding for one in made.data], dtype=np.float32)
        np.testing.assert_allclose(vectors, engine.embed(TEXTS), atol=1e-6)
    assert made.model == "unimoer-minilm"
    assert [one.index for one in made.data] == [0, 1]
    rows = pipeline.retriever.model.rows
    assert made.usage.prompt_tokens == sum(rows.count(text) + 2 for text in TEXTS)


def test_base64_is_float32_little_endian(http: httpx.Client) -> None:
    asked = {"input": TEXTS[0]}
    [plain] = http.post("/v1/embeddings", json=asked).json()["data"]
    [coded] = http.post("/v1/embeddings", json={**asked, "encoding_format": "base64"}).json()[
        "data"
    ]
    numbers = np.frombuffer(base64.b64decode(coded["embedding"]), dtype="<f4")
    np.testing.assert_allclose(numbers, plain["embedding"], atol=1e-6)


def test_token_ids_are_those_of_the_model(http: httpx.Client, pipeline: RagPipeline) -> None:
    tokenizer = pipeline.retriever.model.tokenizer
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]

    def vectors(given: object) -> Any:
        found = http.post("/v1/embeddings", json={"input": given}).json()
        return np.array([one["embedding"] for one in found["data"]])

    np.testing.assert_allclose(vectors(ids), vectors(TEXTS), atol=1e-6)
    np.testing.assert_allclose(vectors(ids[0]), vectors(TEXTS[0]), atol=1e-6)
    refused = http.post("/v1/embeddings", json={"input": [10**6]})
    assert refused.status_code == 422
    assert "own tokenizer" in refused.json()["error"]["message"]


def test_long_texts_are_told_of(http: httpx.Client) -> None:
    found = http.post("/v1/embeddings", json={"input": ["word " * 1000, "short"]}).json()
    assert found["truncated"] == 1
    asked = {"query": "a", "documents": ["word " * 1000]}
    assert "too long" in http.post("/v2/rerank", json=asked).json()["meta"]["warnings"][0]


def test_what_cannot_be_embedded(http: httpx.Client, openai: OpenAI) -> None:
    for body, word in (
        ({"input": ""}, "empty"),
        ({"input": []}, "at least one"),
        ({"input": TEXTS, "dimensions": 7}, "384"),
        ({"input": 7}, "input"),
        ({"input": TEXTS, "encoding_format": "int8"}, "encoding_format"),
        ({"input": ["x"] * 2049}, "2,048"),
        ({}, "input"),
    ):
        refused = http.post("/v1/embeddings", json=body)
        assert refused.status_code == 422, body
        error = refused.json()["error"]
        assert word in error["message"], error
        assert error["type"] == "invalid_request_error"
    with pytest.raises(NotFoundError, match="text-embedding-3-small"):
        openai.embeddings.create(model="text-embedding-3-small", input="a")


def test_models(openai: OpenAI) -> None:
    assert [model.id for model in openai.models.list()] == ["unimoer-minilm"]
    assert openai.models.retrieve("unimoer-minilm").owned_by == "unimoer-rag"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_reranking_by_cohere_s_client(
    kind: str, url: str, http: httpx.Client, pipeline: RagPipeline
) -> None:
    texts = [*TEXTS, "  ", "Money comes back within two weeks."]
    expected = Reranker(pipeline.retriever.engine).rank(QUERY, texts)
    make: Any = cohere.Client if kind == "v1" else cohere.ClientV2
    client = make(api_key="none", base_url=url, httpx_client=http)
    found = client.rerank(model="unimoer-minilm", query=QUERY, documents=texts, top_n=3)
    assert [one.index for one in found.results] == [one.index for one in expected[:3]]
    scores = [one.relevance_score for one in found.results]
    assert scores == pytest.approx([one.score for one in expected[:3]], abs=1e-6)
    everything = client.rerank(model="unimoer-minilm", query=QUERY, documents=texts)
    assert everything.results[-1].relevance_score == 0  # the one without a visible character


def test_reranking_in_other_shapes(http: httpx.Client) -> None:
    plain = {"query": QUERY, "documents": TEXTS}
    first = http.post("/v1/rerank", json=plain).json()
    jina = {"query": QUERY, "documents": [{"text": t} for t in TEXTS], "return_documents": True}
    found = http.post("/rerank", json=jina).json()
    assert [r["document"]["text"] for r in found["results"]] == [
        TEXTS[r["index"]] for r in first["results"]
    ]
    assert "document" not in first["results"][0]
    assert found["usage"]["total_tokens"] == first["meta"]["tokens"]["input_tokens"] > 0
    tei = http.post("/rerank", json={"query": QUERY, "texts": TEXTS, "return_text": True}).json()
    assert [one["index"] for one in tei] == [r["index"] for r in first["results"]]
    scores = [r["relevance_score"] for r in first["results"]]
    assert [one["score"] for one in tei] == pytest.approx(scores, abs=1e-6)
    assert tei[0]["text"] == TEXTS[tei[0]["index"]]


def test_what_cannot_be_reranked(http: httpx.Client) -> None:
    for body in (
        {"query": " ", "documents": TEXTS},
        {"query": QUERY, "documents": TEXTS, "top_n": 0},
        {"query": QUERY, "documents": [7]},
        {"query": QUERY},
    ):
        assert http.post("/v1/rerank", json=body).status_code == 422, body
    nothing = http.post("/v1/rerank", json={"query": QUERY, "documents": []})
    assert nothing.json()["results"] == []


def test_whether_it_is_up(http: httpx.Client, pipeline: RagPipeline) -> None:
    assert http.get("/health").json() == {"status": "ok"}
    ready = http.get("/ready").json()
    assert ready == {"status": "ready", "passages": pipeline.retriever.count()}
