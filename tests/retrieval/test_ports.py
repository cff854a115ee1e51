"""A retriever over models of other libraries, by the ports."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.generation import Generation, LangChainWrites
from unimoer_rag.model.rows import Side
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import Answer, RagPipeline
from unimoer_rag.retrieval.other_models import (
    CrossEncoderRanks,
    LangChainEmbeds,
    NoVectors,
    SentenceEmbeds,
)
from unimoer_rag.retrieval.ports import Embeds, Ranks
from unimoer_rag.retrieval.query_cache import QueryCache
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.types import Document

TEXTS = ["Refunds take 14 days.", "The shop opens at nine.", "Parcels weigh up to 5 kg."]
QUERY = "When does the shop open?"


class Letters:
    """Embeds by the letters of a text."""

    checkpoint, checkpoint_digest, dimension, tokenizer = "letters", "letters-1", 26, None

    def __init__(self) -> None:
        self.asked: list[tuple[Side, int]] = []

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        self.asked.append((side, len(texts)))
        counts = [[text.lower().count(chr(97 + at)) for at in range(26)] for text in texts]
        vectors = np.array(counts, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Shortest:
    """Ranks the shortest first, by what is no probability."""

    probabilistic = False

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        return -np.array([len(document) for document in documents], np.float32)


def test_any_model_that_embeds_finds() -> None:
    letters = Letters()
    with UnifiedRetriever(letters, chunking="whole", query_cache=QueryCache(9)) as retriever:
        assert (retriever.rerank, retriever.ranks, retriever.embeds) == (0, None, letters)
        assert retriever.add(TEXTS).added == 3
        assert retriever.add(TEXTS).unchanged == 3
        hits = retriever.search(QUERY)
        cosines = letters.embed(TEXTS, "document") @ letters.embed([QUERY], "query")[0]
        assert [hit.text for hit in hits] == [TEXTS[at] for at in np.argsort(-cosines)]
        assert [hit.dense for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-6)
        before = len(letters.asked)
        assert asyncio.run(retriever.asearch(QUERY)) == hits  # known by its words
        assert len(letters.asked) == before
        assert retriever.search_batch([QUERY, "refunds"], rerank=9)[0] == hits
        assert retriever.rank_hits(QUERY, hits) == hits  # nothing ranks
        retriever.search(QUERY, mode="sparse")
        assert letters.asked[before:] == [("query", 1)]  # of "refunds"; words need no vector


def test_any_model_that_ranks_orders_what_was_found(minilm: UniMoER) -> None:
    by_length = sorted(TEXTS, key=len)
    stages: list[str] = []
    for model in (Letters(), minilm):
        with UnifiedRetriever(model, reranker=Shortest(), chunking="whole") as retriever:
            retriever.add(TEXTS)
            hits = retriever.search(QUERY, on_stage=stages.append)
            assert [hit.text for hit in hits] == by_length
            assert {hit.rerank for hit in hits} == {None}  # no probabilities
            assert asyncio.run(retriever.asearch(QUERY)) == hits
            assert [hit.text for hit in retriever.rank_hits(QUERY, hits[::-1])] == by_length
    assert stages == ["retrieve", "rerank"] * 2


def test_our_model_is_both(minilm: UniMoER) -> None:
    embeds: Embeds = minilm
    ranks: Ranks = minilm
    with (
        UnifiedRetriever(embeds, reranker=ranks) as both,
        UnifiedRetriever(minilm) as ours,
        UnifiedRetriever(Letters(), reranker=ranks, chunking="whole") as mixed,
    ):
        for retriever in (both, ours, mixed):
            retriever.add(TEXTS)
        assert both.search(QUERY) == ours.search(QUERY)
        scores = {hit.text: hit.rerank for hit in ours.search(QUERY)}
        for hit in mixed.search(QUERY):
            assert hit.rerank == pytest.approx(scores[hit.text], abs=1e-4)


def test_words_alone_need_no_model_in_memory_either() -> None:
    with UnifiedRetriever(NoVectors(), mode="sparse", chunking="whole") as retriever:
        retriever.add(TEXTS)
        assert retriever.search("refunds")[0].text == TEXTS[0]
        assert retriever.store.dimension == 0
        with pytest.raises(InputError, match="sparse"):
            retriever.search("refunds", mode="dense")


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.2, 0.75)])
def test_words_are_weighed_by_the_bm25_that_is_given(k1: float, b: float) -> None:
    """Robertson and Zaragoza (2009), equation 3.15, over three passages."""
    texts = ["tent tent boat", "boat river river river lake", "lake"]
    encoder = BM25Encoder(k1=k1, b=b, average_length=3.0)
    with UnifiedRetriever(NoVectors(encoder), mode="sparse", chunking="whole") as retriever:
        retriever.add([Document(text=text, source=str(at)) for at, text in enumerate(texts)])
        scores = {hit.source: hit.score for hit in retriever.search("tent boat", k=3)}
    expected = dict.fromkeys("01", 0.0)
    for term in ("tent", "boat"):
        holding = [at for at, text in enumerate(texts) if term in text.split()]
        idf = math.log(1 + (3 - len(holding) + 0.5) / (len(holding) + 0.5))
        for at in holding:
            words = texts[at].split()
            tf, norm = words.count(term), k1 * (1 - b + b * len(words) / 3.0)
            expected[str(at)] += idf * tf * (k1 + 1) / (tf + norm)
    assert scores == pytest.approx(expected, rel=1e-5)


def test_words_alone_need_no_model(tmp_path: Path) -> None:
    where: dict[str, Any] = {"index": tmp_path / "index", "chunking": "whole"}
    with UnifiedRetriever(NoVectors(), mode="sparse", **where) as retriever:
        retriever.add(TEXTS)
        assert retriever.search("refunds")[0].text == TEXTS[0]
        with pytest.raises(InputError, match=r"no hybrid search.*'sparse'"):
            retriever.search("refunds", mode="hybrid")
    with pytest.raises(IndexMismatchError, match="vectors of 0, the model gives 26"):
        UnifiedRetriever(Letters(), **where)


def test_what_such_a_model_cannot_have_is_refused(minilm: UniMoER, tmp_path: Path) -> None:
    where: dict[str, Any] = {"index": tmp_path / "index"}
    with pytest.raises(InputError, match=r"letters has no tokenizer.*chunking='whole'"):
        UnifiedRetriever(Letters(), **where)
    with pytest.raises(InputError, match="token states are kept for a UniMoER"):
        UnifiedRetriever(Letters(), chunking="whole", token_states="int8", **where)
    with pytest.raises(InputError, match="token states are kept for a UniMoER"):
        UnifiedRetriever(minilm, reranker=Shortest(), token_states="int8", **where)
    with pytest.raises(InputError, match="dimensions is 8: letters gives embeddings of 26"):
        UnifiedRetriever(Letters(), chunking="whole", dimensions=8, **where)
    with pytest.raises(InputError, match="not calibrated for 'letters'"):
        UnifiedRetriever(Letters(), reranker=Shortest(), chunking="whole", rerank="auto", **where)
    assert not (tmp_path / "index").exists()
    with (
        UnifiedRetriever(Letters(), chunking="whole") as retriever,
        pytest.raises(InputError, match=r"letters embeds here.*needs a UniMoER"),
    ):
        RagPipeline(retriever)


class Quoting:
    """Answers with the first passage."""

    stage, model = "generate", "quoting"

    def generate(self, question: str, hits: Sequence[Any]) -> Generation:
        return Generation(hits[0].text)


def test_a_pipeline_runs_over_it_with_a_generator() -> None:
    with UnifiedRetriever(Letters(), reranker=Shortest(), chunking="whole") as retriever:
        pipeline = RagPipeline(retriever, generator=Quoting())
        assert pipeline.answer("anything?").text is None  # nobody makes anything up
        retriever.add(TEXTS)
        answer = pipeline.answer(QUERY)
        assert answer.text == min(TEXTS, key=len)
        assert list(answer.timings) == [
            "retrieve", "rerank", "select", "generate", "cite", "total",
        ]  # fmt: skip
        assert asyncio.run(pipeline.aanswer(QUERY)).text == answer.text
        *pieces, last = pipeline.stream(QUERY)
        assert pieces == [answer.text]
        assert isinstance(last, Answer)
        assert last.hits == answer.hits
        with pytest.raises(InputError, match="needs a UniMoER"):
            RagPipeline(retriever, generator=Quoting(), max_tokens=9)
        with pytest.raises(InputError, match=r"generator is a Letters: .* method generate\("):
            RagPipeline(retriever, generator=Letters())  # type: ignore[arg-type]


def test_a_chat_model_of_langchain_answers() -> None:
    fake = pytest.importorskip("langchain_core.language_models.fake_chat_models")
    writer = LangChainWrites(fake.FakeListChatModel(responses=["As said [1]."]), name="fake")
    with UnifiedRetriever(Letters(), chunking="whole") as retriever:
        retriever.add(TEXTS)
        pipeline = RagPipeline(retriever, generator=writer)
        answer = pipeline.answer(QUERY)
        assert answer.text == "As said [1]."
        assert [citation.hit.id for citation in answer.citations] == [answer.hits[0].id]
        *pieces, last = pipeline.stream(QUERY)
        assert len(pieces) > 1
        assert isinstance(last, Answer)
        assert last.text == "".join(map(str, pieces)) == answer.text


def test_frameworks_take_it() -> None:
    pytest.importorskip("langchain_unimoer")
    pytest.importorskip("llama_index.retrievers.unimoer")
    with UnifiedRetriever(Letters(), chunking="whole") as retriever:
        retriever.add(TEXTS)
        (best,) = retriever.search(QUERY, k=1)
        (document,) = retriever.as_langchain(k=1).invoke(QUERY)
        (node,) = retriever.as_llama_index(k=1).retrieve(QUERY)
        assert document.page_content == node.text == best.text
        assert retriever.as_langchain()._get_ls_params()["ls_embedding_model"] == "letters"


def test_embeddings_of_langchain_find(tmp_path: Path) -> None:
    fake = pytest.importorskip("langchain_core.embeddings.fake")
    embeddings = fake.DeterministicFakeEmbedding(size=16)
    embeds = LangChainEmbeds(embeddings, name="fake")
    assert embeds.dimension == 16
    where: dict[str, Any] = {"index": tmp_path / "index", "chunking": "whole"}
    with UnifiedRetriever(embeds, **where) as retriever:
        retriever.add(TEXTS)
        for text in TEXTS:  # equal texts have equal vectors, of any length
            first = retriever.search(text)[0]
            assert (first.text, first.dense) == (text, pytest.approx(1, abs=1e-5))
    other = LangChainEmbeds(embeddings, name="another", dimension=16)
    with pytest.raises(IndexMismatchError, match="built with the model 'fake', not with 'another'"):
        UnifiedRetriever(other, **where)


def test_a_sentence_transformer_finds_and_cuts(minilm_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(minilm_path), device="cpu", local_files_only=True)
    embeds = SentenceEmbeds(model, name="minilm of sentence-transformers")
    assert embeds.dimension == 384
    with (
        UnifiedRetriever(embeds) as theirs,
        UnifiedRetriever("minilm", device="cpu", dtype="float32", rerank=0) as ours,
    ):
        for retriever in (theirs, ours):  # by the same tokenizer
            assert retriever.add(["The shop opens at nine. " * 60, *TEXTS]).added > 4
        for hit, same in zip(theirs.search(QUERY), ours.search(QUERY), strict=True):
            assert hit.text == same.text
            assert hit.dense == pytest.approx(same.dense, abs=1e-3)


def test_a_cross_encoder_ranks_by_probabilities(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    from model.tiny_models import save_backbone
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = save_backbone("bert", tmp_path / "bert")
    scorer = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    scorer.save_pretrained(tmp_path / "cross")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "cross")
    model = library.CrossEncoder(str(tmp_path / "cross"), device="cpu", local_files_only=True)
    ranks = CrossEncoderRanks(model)
    with UnifiedRetriever(Letters(), reranker=ranks, chunking="whole") as retriever:
        retriever.add(TEXTS)
        hits = retriever.search(QUERY)
    expected = sorted(ranks.rank(QUERY, [hit.text for hit in hits]), reverse=True)
    assert [hit.rerank for hit in hits] == pytest.approx(expected, abs=1e-6)
    assert all(0 < (hit.rerank or 0) < 1 for hit in hits)
