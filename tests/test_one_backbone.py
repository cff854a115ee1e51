"""Whatever names a checkpoint, in whatever framework, holds the same module."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unimoer_rag import RagPipeline, UnifiedRetriever, UniMoER
from unimoer_rag.lab.bench.process import model_bytes

pytest.importorskip("llama_index.core", reason="needs LlamaIndex: pip install 'unimoer-rag[all]'")
pytest.importorskip("langchain_core", reason="needs LangChain: pip install 'unimoer-rag[all]'")

from langchain_core.documents import Document
from langchain_unimoer import UniMoERCompressor, UniMoERCrossEncoder, UniMoEREmbeddings
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.postprocessor.unimoer_rerank import UniMoERRerank

NAME = "unimoer-minilm"
EXACT = {"device": "cpu", "dtype": "float32"}
QUESTIONS = ("How long do refunds take?", "Which kayak is for two?", "When does the shop open?")


@pytest.fixture(scope="module")
def retriever(minilm_path: Path, few_documents: Path) -> Iterator[UnifiedRetriever]:
    with UnifiedRetriever(NAME, **EXACT) as retriever:
        retriever.add_path(few_documents)
        yield retriever


@pytest.fixture(scope="module")
def adapters(retriever: UnifiedRetriever) -> dict[str, Any]:
    """Everything that both frameworks can be given."""
    return {
        "embedding": UniMoEREmbedding(NAME, **EXACT),
        "rerank": UniMoERRerank(NAME, **EXACT, top_n=3),
        "embeddings": UniMoEREmbeddings(model=NAME, **EXACT),
        "compressor": UniMoERCompressor(model=NAME, **EXACT),
        "cross_encoder": UniMoERCrossEncoder(model=NAME, **EXACT),
        "llama_index": retriever.as_llama_index(k=3, rerank=20),
        "langchain": retriever.as_langchain(k=3, rerank=20),
    }


def module_of(adapter: Any) -> UniMoER:
    """What an adapter says that it holds, or what its retriever does."""
    found: UniMoER = adapter.retriever.model if hasattr(adapter, "retriever") else adapter.unimoer
    return found


@pytest.mark.slow
def test_objects_of_both_frameworks_hold_one_module(
    retriever: UnifiedRetriever, adapters: dict[str, Any]
) -> None:
    assert {id(module_of(adapter)) for adapter in adapters.values()} == {id(retriever.model)}
    assert RagPipeline(retriever).retriever.model is retriever.model
    assert UniMoER.from_pretrained(NAME, **EXACT) is retriever.model


@pytest.mark.slow
def test_one_more_adapter_takes_no_more_weights(retriever: UnifiedRetriever) -> None:
    gc.collect()
    before = model_bytes()
    more = [UniMoEREmbedding(NAME, **EXACT), UniMoERCompressor(model=NAME, **EXACT)]
    assert model_bytes() == before
    assert len(more) == 2


@pytest.mark.slow
def test_another_process_loads_it_by_name_and_the_last_adapter_that_lets_go_frees_it(
    adapters: dict[str, Any],
) -> None:
    """In a process of its own, where nothing else holds it."""
    code = f"""
import gc, json, pickle, sys, weakref
from langchain_unimoer import UniMoERCompressor
embedding, compressor = pickle.load(sys.stdin.buffer), UniMoERCompressor(**{EXACT})
model = weakref.ref(embedding.unimoer)
print(json.dumps(embedding.get_query_embedding("a")))
compressor.compress_documents([], "a")
del embedding; gc.collect(); assert model() is not None
del compressor; gc.collect(); assert model() is None
"""
    given = pickle.dumps(adapters["embedding"])
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = adapters["embedding"].get_query_embedding("a")
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)


def calls(adapters: dict[str, Any], question: str) -> list[tuple[Any, Any]]:
    """The blocking and the awaitable form of the same calls, each giving numbers."""
    texts = [f"{question} {n}" for n in range(4)] + ["Refunds take 14 days.", "Kayaks for two."]
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in texts]
    documents = [Document(page_content=text) for text in texts]
    a = adapters
    return [
        (
            lambda: a["embedding"].get_text_embedding_batch(texts),
            lambda: a["embedding"].aget_text_embedding_batch(texts),
        ),
        (
            lambda: a["embeddings"].embed_query(question),
            lambda: a["embeddings"].aembed_query(question),
        ),
        (
            lambda: [n.score for n in a["rerank"].postprocess_nodes(nodes, query_str=question)],
            lambda: _scores(a["rerank"].apostprocess_nodes(nodes, query_str=question)),
        ),
        (
            lambda: _relevance(a["compressor"].compress_documents(documents, question)),
            lambda: _relevances(a["compressor"].acompress_documents(documents, question)),
        ),
        (
            lambda: [n.score for n in a["llama_index"].retrieve(question)],
            lambda: _scores(a["llama_index"].aretrieve(question)),
        ),
        (
            lambda: _relevance(a["langchain"].invoke(question)),
            lambda: _relevances(a["langchain"].ainvoke(question)),
        ),
    ]


async def _scores(nodes: Any) -> list[float]:
    return [node.score for node in await nodes]


async def _relevances(documents: Any) -> list[float]:
    return _relevance(await documents)


def _relevance(documents: Any) -> list[float]:
    return [document.metadata["relevance_score"] for document in documents]


@pytest.mark.slow
async def test_both_frameworks_at_once_give_what_each_gives_alone(
    adapters: dict[str, Any],
) -> None:
    pairs = [pair for question in QUESTIONS for pair in calls(adapters, question)] * 2
    expected = [run() for run, _ in pairs]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(16) as threads:
        blocking = [loop.run_in_executor(threads, run) for run, _ in pairs]
        found = await asyncio.gather(*blocking, *(arun() for _, arun in pairs))
    for answer, right in zip(found, [*expected, *expected], strict=True):
        np.testing.assert_allclose(answer, right, atol=1e-4)
