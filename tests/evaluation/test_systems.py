"""Systems of separate parts: the same index and search as ours, other models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from model.tiny_models import make_model, save_backbone
from numpy.typing import NDArray
from training.toy import write_toy

from unimoer_rag.data.datasets import BeirDataset, load_beir
from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, IndexMismatchError, InputError
from unimoer_rag.evaluation.evaluate import EvalOptions, evaluate
from unimoer_rag.evaluation.systems import System, Unified, corpus_in_index
from unimoer_rag.generation.extractive import ExtractiveReader
from unimoer_rag.lab.baselines.cosine import CosineRanker, ModelEmbedder
from unimoer_rag.lab.baselines.two_stage import TwoStage
from unimoer_rag.model.rows import Side
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever

MODES = ("dense", "sparse", "hybrid")


class LateRanker:
    """A model's own reranking, as a part: probabilities."""

    probabilistic = True

    def __init__(self, model: UniMoER) -> None:
        self.modules = [model]
        self.model = model

    def describe(self) -> dict[str, str]:
        return {"model": self.model.checkpoint}

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        return self.model.rank(query, documents)


class Counting(ModelEmbedder):
    """Remembers what it embedded."""

    def __init__(self, model: UniMoER) -> None:
        super().__init__(model)
        self.seen: list[tuple[Side, str]] = []

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        self.seen += [(side, text) for text in texts]
        return super().embed(texts, side)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> UniMoER:
    return make_model(save_backbone("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> UniMoER:
    return make_model(save_backbone("bert", tmp_path_factory.mktemp("other"), seed=7))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> BeirDataset:
    folder = write_toy(tmp_path_factory.mktemp("data"), "dev", context=False)
    return load_beir(folder, "dev")


def opened(
    system: System, data: BeirDataset, index: Path, *, first_stage: str = "dense", depth: int = 6
):
    return corpus_in_index(system, data.corpus, index=index, first_stage=first_stage, depth=depth)


def described(finder: UnifiedRetriever, questions: list[str]) -> list[list[dict[str, object]]]:
    return [[hit.to_dict() for hit in hits] for hits in finder.search_batch(questions, k=9)]


# -- the same search ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_same_models_find_what_our_retriever_finds(mode, model, data, tmp_path) -> None:
    """Parts that are our own model's make our own retriever."""
    system = TwoStage("parts", embedder=ModelEmbedder(model), ranker=LateRanker(model))
    questions = [question.text for question in data.questions]
    with (
        opened(system, data, tmp_path / "parts", first_stage=mode) as parts,
        opened(Unified(model), data, tmp_path / "ours", first_stage=mode) as ours,
    ):
        ranked = described(parts, questions)
        expected = described(ours, questions)
        assert [[hit["id"] for hit in hits] for hits in ranked] == [
            [hit["id"] for hit in hits] for hits in expected
        ]
        for hit, same in zip(chain(*ranked), chain(*expected), strict=True):
            for score in ("dense", "sparse", "fused", "rerank"):
                # float32, in batches of other sizes
                assert hit[score] == pytest.approx(same[score], abs=1e-4)
        stages: list[str] = []
        alone = parts.search(questions[0], k=9, on_stage=stages.append)
        assert [hit.to_dict()["id"] for hit in alone] == [hit["id"] for hit in ranked[0]]
        assert stages == ["retrieve", "rerank"]


def test_bm25_is_our_sparse_search_without_a_model(model, data, tmp_path) -> None:
    system = TwoStage("bm25")
    assert (list(system.modules), system.reranks, system.reader) == ([], False, None)
    questions = [question.text for question in data.questions]
    with (
        opened(system, data, tmp_path / "words", first_stage="sparse") as words,
        UnifiedRetriever(model, chunking="whole", mode="sparse", rerank=0) as ours,
    ):
        ours.add(data.corpus.values())
        found = words.search_batch(questions, k=9)
        for hits, same in zip(found, ours.search_batch(questions, k=9), strict=True):
            assert [(hit.id, hit.rerank) for hit in hits] == [(hit.id, None) for hit in same]
            assert [hit.sparse for hit in hits] == pytest.approx([hit.sparse for hit in same])
        # Nothing reranks, whatever is asked for.
        assert words.search(questions[0], k=9, rerank=5) == found[0]


def test_what_a_ranker_gives_beside_probabilities_orders_and_is_not_kept(
    model, data, tmp_path
) -> None:
    embedder = ModelEmbedder(model)
    ranker = CosineRanker(embedder)
    system = TwoStage("parts", embedder=embedder, ranker=ranker)
    question = data.questions[0].text
    with opened(system, data, tmp_path / "index", first_stage="sparse", depth=8) as finder:
        first = finder.search(question, k=8, rerank=0)
        hits = finder.search(question, k=8)
    cosines = ranker.rank(question, [hit.passage.content for hit in first])
    assert [hit.id for hit in hits] == [first[at].id for at in np.argsort(-cosines, kind="stable")]
    assert [hit.id for hit in hits] != [hit.id for hit in first]
    assert {hit.rerank for hit in hits} == {None}
    # The cosines of both stages are the same: what dense search finds, they leave as it is.
    with opened(system, data, tmp_path / "index", depth=8) as finder:
        assert finder.search(question, k=8) == finder.search(question, k=8, rerank=0)


# -- the index ------------------------------------------------------------------------------


def test_an_index_is_resumed(model, data, tmp_path) -> None:
    half = replace(data, corpus=dict(list(data.corpus.items())[:10]))
    first, second = Counting(model), Counting(model)
    with opened(TwoStage("parts", embedder=first), half, tmp_path / "index"):
        assert len(first.seen) == 10
    with opened(TwoStage("parts", embedder=second), data, tmp_path / "index") as finder:
        assert len(second.seen) == len(data.corpus) - 10
        assert not set(first.seen) & set(second.seen)
        finder.search("When?")
    assert second.seen[-1] == ("query", "When?")


@pytest.mark.slow
def test_an_index_of_something_else_is_refused(model, other, data, tmp_path) -> None:
    ours = TwoStage("parts", embedder=ModelEmbedder(model))
    theirs = TwoStage("parts", embedder=ModelEmbedder(other))
    with opened(ours, data, tmp_path / "dense"):
        pass
    with (
        pytest.raises(IndexMismatchError, match="was built with the model"),
        opened(theirs, data, tmp_path / "dense"),
    ):
        pass
    bm25 = TwoStage("bm25")
    with (
        pytest.raises(IndexMismatchError, match="vectors of 32, the model gives 0"),
        opened(bm25, data, tmp_path / "dense", first_stage="sparse"),
    ):
        pass
    with opened(bm25, data, tmp_path / "words", first_stage="sparse"):
        pass
    with (
        pytest.raises(IndexMismatchError, match="vectors of 0, the model gives 32"),
        opened(ours, data, tmp_path / "words"),
    ):
        pass
    part = replace(data, corpus=dict(list(data.corpus.items())[:10]))
    with (
        pytest.raises(DataError, match="24 passages, 14 of them not from this corpus"),
        opened(ours, part, tmp_path / "dense"),
    ):
        pass


@pytest.mark.slow
def test_one_index_serves_every_precision(data, tmp_path) -> None:
    folder = save_backbone("bert", tmp_path / "bert")
    for dtype in ("float32", "bfloat16"):
        loaded = UniMoER.from_backbone(str(folder), device="cpu", dtype=dtype)
        with opened(TwoStage("parts", embedder=ModelEmbedder(loaded)), data, tmp_path / "index"):
            pass


@pytest.mark.parametrize(
    ("first_stage", "said"), [("dense", "no dense search.*'sparse'"), ("magic", "unknown mode")]
)
def test_a_first_stage_that_is_not_there_is_refused(first_stage, said, data, tmp_path) -> None:
    with (
        pytest.raises(InputError, match=said),
        opened(TwoStage("bm25"), data, tmp_path / "index", first_stage=first_stage),
    ):
        pass
    assert not (tmp_path / "index").exists()


# -- the measurement ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_system_is_measured_as_ours_is(model, other, data) -> None:
    options = EvalOptions(depth=6, n_timed=2)
    parts = TwoStage(
        "parts", embedder=ModelEmbedder(model), ranker=LateRanker(model), reader=Engine.of(model)
    )
    result, ours = (evaluate(system, data, options=options).to_dict() for system in (parts, model))
    assert json.loads(json.dumps(result)) == result
    assert result["retrieval"] == pytest.approx(ours["retrieval"], abs=2e-3)
    # Probabilities near 1 tie where their logits do not.
    assert result["rerank"] == pytest.approx(ours["rerank"], abs=0.05)
    assert result["answers"]["f1"] == pytest.approx(ours["answers"]["f1"], abs=0.01)
    assert result["latency_ms"].keys() == ours["latency_ms"].keys()
    # One model in three parts is in memory once; another reader comes on top.
    assert result["memory_mb"]["model"] == ours["memory_mb"]["model"]
    elsewhere = replace_reader(parts, other)
    assert list(elsewhere.modules) == [model, other]
    assert (result["system"], result["checkpoint"], result["reader"]) == (
        "parts",
        model.checkpoint,
        {"checkpoint": model.checkpoint, "checkpoint_digest": model.checkpoint_digest},
    )


def replace_reader(system: TwoStage, model: UniMoER) -> TwoStage:
    return TwoStage(
        system.name, embedder=system.embedder, ranker=system.ranker, reader=Engine.of(model)
    )


@pytest.mark.slow
def test_bm25_with_a_reader_answers_from_what_it_finds(model, data) -> None:
    few = replace(data, questions=data.questions[:4])
    options = EvalOptions(mode="sparse", n_timed=0)
    result = evaluate(TwoStage("bm25", reader=Engine.of(model)), few, options=options).to_dict()
    assert result["rerank"] == {}
    assert result["retrieval"]["nDCG@10"] > 0.9
    with UnifiedRetriever(model, chunking="whole", mode="sparse", rerank=0) as retriever:
        retriever.add(few.corpus.values())
        answers = [RagPipeline(retriever).answer(question.text) for question in few.questions]
    assert result["answers"]["abstained"] == sum(answer.text is None for answer in answers)
    # Without one, there is nothing to measure by.
    with pytest.raises(DataError, match="nothing to measure answers of 'bm25'"):
        evaluate(TwoStage("bm25"), few, options=replace(options, parts=("answers",)))


@pytest.mark.slow
def test_another_reader_reads_for_a_model_that_cannot(model, data) -> None:
    """The model finds and ranks, the other one reads."""
    tasks = [task for name, task in model.tasks.items() if name != "read"]
    mute = UniMoER.from_backbone(str(model.path), device="cpu", dtype="float32", tasks=tasks)
    assert Unified(mute).reader is None
    few = replace(data, questions=data.questions[:3])
    system = Unified(mute, name="mute", reader=Engine.of(model))
    result = evaluate(system, few, options=EvalOptions(depth=4, n_timed=0)).to_dict()
    # It was given room for token states, and they are gone.
    assert Engine.of(mute).cache.hits > 0
    assert Engine.of(mute).cache.nbytes == 0
    assert list(system.modules) == [mute, model]
    assert result["reader"]["checkpoint_digest"] == model.checkpoint_digest
    with UnifiedRetriever(mute, chunking="whole", rerank=4) as retriever:
        retriever.add(few.corpus.values())
        pipeline = RagPipeline(retriever, generator=ExtractiveReader(Engine.of(model)))
        answers = {q.id: pipeline.answer(q.text).text for q in few.questions}
    assert result["answers"]["abstained"] == sum(text is None for text in answers.values())


def test_a_question_that_finds_nothing_is_not_answered(model, data) -> None:
    """Nobody reads nothing: neither the model that cannot, nor its reader."""
    tasks = [task for name, task in model.tasks.items() if name != "read"]
    mute = UniMoER.from_backbone(str(model.path), device="cpu", dtype="float32", tasks=tasks)
    strange = replace(data, questions=[replace(data.questions[0], text="zebra xylophone")])
    for system in (Unified(mute, reader=Engine.of(model)), TwoStage("x", reader=Engine.of(model))):
        result = evaluate(system, strange, options=EvalOptions(mode="sparse", n_timed=0)).to_dict()
        assert result["answers"]["abstained"] == 1
