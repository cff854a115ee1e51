"""Pipelines over a retriever that reranks only where the first stage is uncertain."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import DOCUMENTS

from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.config import PipelineConfig
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.auto_rerank import AutoRerank
from unimoer_rag.retrieval.chunking import Chunking
from unimoer_rag.retrieval.retriever import UnifiedRetriever

QUESTION = "How long do refunds take?"


@pytest.fixture(scope="module")
def searched(frozen: UniMoER) -> Iterator[UnifiedRetriever]:
    chunking = Chunking(size=20, overlap=4)
    with UnifiedRetriever(frozen, chunking=chunking, rerank=10) as retriever:
        retriever.add(DOCUMENTS.values())
        yield retriever


@pytest.mark.slow
def test_what_is_read_has_a_probability_where_reranking_is_skipped(
    searched: UnifiedRetriever,
) -> None:
    pipeline = RagPipeline(searched, n_read=3, threshold=0.0)
    first = searched.search(QUESTION, k=3, rerank=0)
    searched.rerank = AutoRerank(dense=-math.inf, depth=10)
    before = searched.stats
    answers = [pipeline.answer(QUESTION), asyncio.run(pipeline.aanswer(QUESTION))]
    for answer in answers:
        assert {hit.id for hit in answer.hits} == {hit.id for hit in first}
        relevance = [hit.rerank for hit in answer.hits]
        assert None not in relevance
        assert relevance == sorted(relevance, reverse=True)  # type: ignore[type-var]
        assert "rerank" in answer.timings
    assert searched.stats.skipped - before.skipped == 2
    assert searched.stats.reranked == before.reranked


def test_where_nothing_is_certain_it_is_as_ever(searched: UnifiedRetriever) -> None:
    pipeline = RagPipeline(searched, n_read=3, threshold=0.0)
    searched.rerank = 10
    always = pipeline.answer(QUESTION)
    searched.rerank = AutoRerank(dense=math.inf, depth=10)
    auto = pipeline.answer(QUESTION)
    assert searched.stats.reranked >= 2
    assert (auto.text, auto.hits, auto.confidence) == (always.text, always.hits, always.confidence)


def test_yaml_takes_auto_and_the_file_of_a_calibration(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    thresholds = tmp_path / "thresholds.json"
    thresholds.write_text("{}")
    for value in ("auto", str(thresholds), 20):
        file.write_text(f"retrieve: {{rerank: {value}}}")
        assert PipelineConfig.load(file).retrieve.rerank == value
    for value in ("nowhere.json", -1, 1.5, "true"):
        file.write_text(f"retrieve: {{rerank: {value}}}")
        with pytest.raises(InputError, match=r"yaml:1: retrieve\.rerank: .*an integer from 0 up"):
            PipelineConfig.load(file)
