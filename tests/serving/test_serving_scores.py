"""Scores of pairs and labels of texts over HTTP, in the manners of vLLM, TEI, Voyage, LiteLLM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import litellm
import numpy as np
import pytest
import torch
import voyageai

from unimoer_rag import RagPipeline, UnifiedRetriever, UniMoER
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import Task
from unimoer_rag.serving import serving

TEXTS = ["Refunds take 14 days.", "The shop opens at nine."]
QUERIES = ["how long do refunds take?", "when do you open?"]
LABELS = ("returns", "hours", "other")


@pytest.fixture(scope="module")
def classifier() -> UniMoER:
    """A model of its own with two tasks that classify, their heads drawn."""
    model = UniMoER.from_backbone("minilm", device="cpu", dtype="float32")
    torch.manual_seed(0)
    for name in ("tickets", "pairs"):
        model.add_expert(name, ExpertSpec(rank=2, alpha=4))
        model.add_task(Task(name, "class", (name,), labels=LABELS))
        for parameter in model.heads[name].parameters():
            torch.nn.init.normal_(parameter)
    return model


@pytest.fixture(scope="module")
def classifying(classifier: UniMoER) -> Iterator[httpx.Client]:
    with (
        UnifiedRetriever(classifier) as retriever,
        serving(RagPipeline(retriever)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client


def test_scores_are_each_pair_s_own(http: httpx.Client, pipeline: RagPipeline) -> None:
    engine = pipeline.retriever.engine
    for first, second, pairs in (
        (QUERIES[0], TEXTS, [(QUERIES[0], text) for text in TEXTS]),
        ([QUERIES[0]], TEXTS[0], [(QUERIES[0], TEXTS[0])]),
        (QUERIES, TEXTS, list(zip(QUERIES, TEXTS, strict=True))),
        (QUERIES * 2, TEXTS * 2, list(zip(QUERIES, TEXTS, strict=True)) * 2),
        (QUERIES[0], [], []),
    ):
        asked = {"text_1": first, "text_2": second, "model": None}
        found = http.post("/v1/score", json=asked).json()
        expected = [float(engine.score(query, [text])[0]) for query, text in pairs]
        assert [one["score"] for one in found["data"]] == pytest.approx(expected, abs=1e-6)
        assert [one["index"] for one in found["data"]] == list(range(len(pairs)))
    refused = http.post("/score", json={"text_1": QUERIES, "text_2": TEXTS * 2})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "text_1")


def test_labels_are_the_task_s(classifying: httpx.Client, classifier: UniMoER) -> None:
    probs = classifier.classify(TEXTS, task="tickets")
    asked: dict[str, Any] = {"input": TEXTS, "task": "tickets"}
    found = classifying.post("/v1/classify", json=asked).json()
    assert [one["label"] for one in found["data"]] == [LABELS[at] for at in probs.argmax(1)]
    np.testing.assert_allclose([one["probs"] for one in found["data"]], probs, atol=1e-5)
    assert {one["num_classes"] for one in found["data"]} == {3}
    assert found["usage"]["total_tokens"] > 0

    pair = classifier.classify(TEXTS[:1], pairs=TEXTS[1:], task="pairs")[0]
    for inputs, expected in ((TEXTS, pair), (TEXTS[0], probs[0])):
        task = "pairs" if inputs is TEXTS else "tickets"
        said = classifying.post("/predict", json={"inputs": inputs, "task": task}).json()
        assert [one["label"] for one in said] == [LABELS[at] for at in np.argsort(-expected)]
        assert sum(one["score"] for one in said) == pytest.approx(1, abs=1e-5)
    several = classifying.post("/predict", json={"inputs": [[t] for t in TEXTS], "task": "tickets"})
    assert [one[0]["score"] for one in several.json()] == pytest.approx(probs.max(1), abs=1e-5)


def test_which_task_classifies_has_to_be_clear(
    classifying: httpx.Client, http: httpx.Client
) -> None:
    for client, asked, word in (
        (classifying, {"input": "a"}, "several"),
        (classifying, {"input": "a", "task": "embed"}, "embed"),
        (http, {"input": "a"}, "experts add"),
    ):
        refused = client.post("/v1/classify", json=asked)
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "task")
        assert word in refused.json()["error"]["message"]
    for inputs in ([], [[]], [["a"], ["a", "b"]], [["a", "b", "c"]]):
        refused = classifying.post("/predict", json={"inputs": inputs, "task": "tickets"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "inputs")


def test_voyage_s_client(url: str, pipeline: RagPipeline) -> None:
    client = voyageai.Client(api_key="none", base_url=f"{url}/v1")  # type: ignore[attr-defined]
    ranked = client.rerank(QUERIES[1], TEXTS, model="unimoer-minilm", top_k=1)
    [first] = ranked.results
    assert (first.index, first.document) == (1, TEXTS[1])
    score = pipeline.retriever.engine.rank(QUERIES[1], TEXTS).max()
    assert first.relevance_score == pytest.approx(score, abs=1e-6)
    assert ranked.total_tokens > 0
    made = client.embed(QUERIES, model="unimoer-minilm", input_type="query")
    expected = pipeline.retriever.engine.embed(QUERIES, side="query")
    np.testing.assert_allclose(made.embeddings, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Item.* on TypedDict")  # of what LiteLLM imports
def test_litellm_s_rerank(url: str) -> None:
    ranked = litellm.rerank(
        model="cohere/unimoer-minilm",
        query=QUERIES[1],
        documents=TEXTS,
        top_n=1,
        api_base=url,
        api_key="none",
    )
    assert [one["index"] for one in ranked.results] == [1]
