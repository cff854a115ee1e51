"""From readings to citations: what is kept, how it is ranked, where it stands."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
import torch

from unimoer_rag.engine import Engine
from unimoer_rag.generation.extractive import ExtractiveReader
from unimoer_rag.model.tasks.span import Reading
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.types import Hit, Passage


@pytest.fixture(scope="module")
def engine(minilm_path: Path) -> Engine:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the reading head starts at random
        return Engine.of(UniMoER.from_backbone("minilm", device="cpu", dtype="float32"))


def _hit(name: str, *, start: int = 0, rerank: float | None = None) -> Hit:
    text = f"the {name} passage"
    return Hit(Passage(text, name, "", start, start + len(text)), dense=0.5, rerank=rerank)


def _reading(hit: Hit, probability: float) -> Reading:
    """The passage's second word, as probable as that against "no answer"."""
    name = hit.source
    margin = math.log(probability / (1 - probability))
    return Reading(name, 4, 4 + len(name), probability, 1 - probability, margin)


@pytest.mark.slow
def test_the_readers_and_the_rerankers_odds_multiply(engine: Engine) -> None:
    hits = [_hit("near", start=100, rerank=0.9), _hit("far", start=7, rerank=0.1), _hit("plain")]
    # Odds 1 * 9, 3 / 9, and 3 / 7 alone.
    readings = [_reading(hits[0], 0.5), _reading(hits[1], 0.75), _reading(hits[2], 0.3)]
    citations = ExtractiveReader(engine, threshold=0.0).select(hits, readings)
    assert [(c.text, c.start, c.end) for c in citations] == [
        ("near", 104, 108),
        ("plain", 4, 9),
        ("far", 11, 14),
    ]
    assert [c.confidence for c in citations] == pytest.approx([0.9, 0.3, 0.25])
    assert [c.hit for c in citations] == [hits[0], hits[2], hits[1]]


def test_the_threshold_is_the_lowest_confidence_given(engine: Engine) -> None:
    hits = [_hit("one"), _hit("two")]
    readings = [_reading(hits[0], 0.25), _reading(hits[1], 0.2499)]
    citations = ExtractiveReader(engine, threshold=readings[0].confidence()).select(hits, readings)
    assert [c.text for c in citations] == ["one"]


def test_confidence_alone_decides_and_an_empty_span_is_never_given(engine: Engine) -> None:
    # "No answer" likelier than the best span does not silence it by itself.
    hits = [_hit("sure"), _hit("shared"), _hit("weak"), _hit("blank")]
    readings = [
        _reading(hits[0], 0.6),
        _reading(hits[1], 0.45),
        _reading(hits[2], 0.04),
        Reading("", 0, 0, probability=0.0, no_answer=1.0, margin=float("-inf")),
    ]
    assert [c.text for c in ExtractiveReader(engine).select(hits, readings)] == ["sure", "shared"]
    everything = ExtractiveReader(engine, threshold=0.0).select(hits, readings)
    assert [c.text for c in everything] == ["sure", "shared", "weak"]


def test_equal_confidence_keeps_the_retrievers_order(engine: Engine) -> None:
    hits = [_hit(name) for name in ("first", "second", "third")]
    readings = [_reading(hit, 0.4) for hit in hits]
    citations = ExtractiveReader(engine, threshold=0.1).select(hits, readings)
    assert [c.text for c in citations] == ["first", "second", "third"]


def test_reading_goes_through_the_engine(engine: Engine) -> None:
    text = "Refunds are paid within fourteen days of the return."
    hit = Hit(Passage(text, "a", "", 40, 40 + len(text)))
    reader = ExtractiveReader(engine, threshold=0.0)
    expected = engine.model.read("How long?", [text])[0]
    assert expected.probability > expected.no_answer
    (citation,) = reader.read("How long?", [hit])
    assert citation.text == expected.text == text[expected.start : expected.end]
    assert (citation.start, citation.end) == (40 + expected.start, 40 + expected.end)
    assert asyncio.run(reader.aread("How long?", [hit])) == [citation]


def test_nothing_to_read_is_nothing_to_cite(engine: Engine) -> None:
    reader = ExtractiveReader(engine)
    assert reader.read("How long?", []) == []
    assert asyncio.run(reader.aread("How long?", [])) == []
