"""What a result says beside its means: single questions, intervals, times, hashes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from model.tiny_models import make_model, save_backbone
from training.toy import write_toy

from unimoer_rag.data.datasets import BeirDataset, load_beir
from unimoer_rag.data.fingerprint import corpus_sha256, questions_sha256
from unimoer_rag.evaluation.answers import exact_match, f1
from unimoer_rag.evaluation.citations import CITATION_MEASURES
from unimoer_rag.evaluation.environment import memory_mb
from unimoer_rag.evaluation.evaluate import PARTS, EvalOptions, evaluate
from unimoer_rag.evaluation.results import Result
from unimoer_rag.evaluation.statistics import interval
from unimoer_rag.generation.types import Citation, Generation, Piece
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.types import Hit


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> UniMoER:
    return make_model(save_backbone("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> BeirDataset:
    """Questions whose answers have to be found; every fourth has none."""
    folder = write_toy(tmp_path_factory.mktemp("finding"), "dev", context=False)
    loaded = load_beir(folder, "dev")
    questions = [
        replace(q, answers=q.answers if at % 4 else ()) for at, q in enumerate(loaded.questions)
    ]
    return replace(loaded, questions=questions)


@pytest.fixture(scope="module")
def result(model: UniMoER, dataset: BeirDataset) -> dict[str, Any]:
    return evaluate(model, dataset, options=EvalOptions(depth=5, n_timed=3, seed=4)).to_dict()


@pytest.mark.slow
def test_every_mean_is_that_of_its_questions(result: dict[str, Any], dataset: BeirDataset) -> None:
    for part in PARTS:
        rows = result["per_question"][part]
        assert list(rows) == [q.id for q in dataset.questions]
        for measure in dict.fromkeys(name for row in rows.values() for name in row):
            values = [row[measure] for row in rows.values() if measure in row]
            digits = 2 if part == "answers" else 5
            assert result[part][measure] == pytest.approx(np.mean(values), abs=10**-digits)


@pytest.mark.slow
def test_every_mean_has_its_interval(result: dict[str, Any], dataset: BeirDataset) -> None:
    for part in PARTS:
        intervals = result["intervals"][part]
        reported = {n: value for n, value in result[part].items() if isinstance(value, float)}
        assert intervals.keys() == reported.keys()
        for measure, ends in intervals.items():
            assert ends["low"] - 0.01 <= reported[measure] <= ends["high"] + 0.01
    values = [row["nDCG@10"] for row in result["per_question"]["retrieval"].values()]
    expected = interval(values, seed=4)
    assert result["intervals"]["retrieval"]["nDCG@10"] == pytest.approx(
        {"low": expected.low, "high": expected.high, "n": 24}, abs=1e-5
    )
    assert (result["seed"], result["bootstrap"]) == (4, {"level": 0.95, "resamples": 2000})
    # Six of 24 questions have no answer: they count in some means only.
    n = {name: ends["n"] for name, ends in result["intervals"]["answers"].items()}
    cited = {name: n.pop(name) for name in CITATION_MEASURES if name in n}
    answered = sum(not row["abstention"] for row in result["per_question"]["answers"].values())
    assert all(0 < count <= answered for count in cited.values())
    assert n == {
        "em": 24, "f1": 24, "given_em": 24, "given_f1": 24, "abstention": 24,
        "has_answer_em": 18, "has_answer_f1": 18, "no_answer_f1": 6,
    }  # fmt: skip
    assert result["intervals"]["retrieval"]["answer-in-passage@1"]["n"] == 18


@pytest.mark.slow
def test_answers_are_scored_one_by_one(model: UniMoER, dataset: BeirDataset) -> None:
    few = dataset.limit(5)
    measured = evaluate(model, few, options=EvalOptions(parts=("answers",), depth=5)).to_dict()
    with UnifiedRetriever(model, chunking="whole", rerank=5) as retriever:
        retriever.add(few.corpus.values())
        pipeline = RagPipeline(retriever)
        said = {q.id: pipeline.answer(q.text).text or "" for q in few.questions}
    rows = measured["per_question"]["answers"]
    for qid, golds in few.golds.items():
        scored = {name: rows[qid][name] for name in ("given_em", "given_f1", "abstention")}
        assert scored == pytest.approx(
            {
                "given_em": 100 * exact_match(said[qid], golds, rules="squad"),
                "given_f1": 100 * f1(said[qid], golds, rules="squad"),
                "abstention": 0.0 if said[qid] else 100.0,
            },
            abs=1e-4,
        )
    assert measured["answers"]["abstention"] == pytest.approx(
        100 * measured["answers"]["abstained"] / 5
    )


def test_times_are_told_by_stage(result: dict[str, Any]) -> None:
    percentiles = result["latency_percentiles_ms"]
    stages = {f"answer/{name}" for name in ("retrieve", "rerank", "select", "read", "cite")}
    assert percentiles.keys() == {"answer", "search", "rerank"} | stages
    for name, of_stage in percentiles.items():
        assert 0 <= of_stage["p50"] <= of_stage["p95"] <= of_stage["p99"]
        assert result["latency_ms"].get(name, of_stage["p50"]) == of_stage["p50"]
    assert result["latency_ms"].keys() == {"answer", "search", "rerank"}
    assert result["questions_per_second"].keys() == {"answer", "search", "rerank"}
    assert all(rate > 0 for rate in result["questions_per_second"].values())


def test_the_data_is_named_by_its_content(result: dict[str, Any], dataset: BeirDataset) -> None:
    assert result["corpus_sha256"] == corpus_sha256(dataset)
    assert result["questions_sha256"] == questions_sha256(dataset)


def test_without_answers_nothing_is_said_of_them(model: UniMoER, dataset: BeirDataset) -> None:
    bare = replace(dataset, questions=[replace(q, answers=None) for q in dataset.questions])
    result = evaluate(model, bare, options=EvalOptions(parts=("retrieval",), n_timed=0)).to_dict()
    assert not any(name.startswith("answer-in-passage") for name in result["retrieval"])
    assert (result["answers"], result["per_question"]["answers"]) == ({}, {})
    assert (result["intervals"]["rerank"], result["per_question"]["rerank"]) == ({}, {})
    assert result["latency_percentiles_ms"] == {}
    assert result["questions_per_second"].keys() == {"search"}


def test_the_whole_result_reads_back(result: dict[str, Any]) -> None:
    read = Result.from_dict(json.loads(json.dumps(result)))
    assert read.to_dict() == result
    assert read.name == result["system"]
    assert read.details.ranks.keys() == {f"q{n}" for n in range(24)}
    assert read.details.scores.keys() == {"first", "second"}
    assert read.details.worst == []
    reranked = read.details.scores["second"]
    assert sum(reranked.relevant) + sum(reranked.other) == 24 * 5  # no deeper than it reranks
    found = read.details.scores["first"]
    assert sum(found.relevant) + sum(found.other) == 24 * 24


def test_ranks_are_those_that_the_measures_come_from(result: dict[str, Any]) -> None:
    for part, at in (("retrieval", 0), ("rerank", 1)):
        for qid, row in result["per_question"][part].items():
            rank = result["details"]["ranks"][qid][at]
            assert row["RR@10"] == pytest.approx(1 / rank if rank <= 10 else 0, abs=1e-5)


class Quoting:
    """Answers with the first passage and cites the first two."""

    stage = "quote"

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        cited = [Citation(h.text, h, 0, len(h.text), None) for h in hits[:2]]
        return Generation(hits[0].text, cited, prompt="f" * 64)

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        raise NotImplementedError

    def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
        raise NotImplementedError

    def astream(self, question: str, hits: Sequence[Hit]) -> AsyncIterator[Piece]:
        raise NotImplementedError


def test_citations_and_the_prompt_are_told(model: UniMoER, dataset: BeirDataset) -> None:
    few = replace(dataset, questions=[q for q in dataset.questions if q.answers][:6])
    measured = evaluate(
        model,
        few,
        options=EvalOptions(depth=0, n_timed=0, n_worst=2),
        pipeline=lambda finder: RagPipeline(
            cast(UnifiedRetriever, finder), generator=Quoting(), n_read=2
        ),
    ).to_dict()
    answers, rows = measured["answers"], measured["per_question"]["answers"]
    # Two are cited of which one at most is relevant: recall tells how often, precision the half.
    recalls = [row["citation_recall"] for row in rows.values()]
    assert set(recalls) <= {0, 100}
    assert answers["citation_recall"] == pytest.approx(np.mean(recalls), abs=0.01)
    assert answers["citation_precision"] == pytest.approx(np.mean(recalls) / 2, abs=0.01)
    found = [row["R@5"] for row in measured["per_question"]["retrieval"].values()]
    assert np.mean(recalls) / 100 <= np.mean(found)
    assert measured["intervals"]["answers"]["citation_recall"]["n"] == 6
    assert (answers["prompt"], answers["abstained"]) == ("f" * 64, 0)
    worst = measured["details"]["worst"]
    assert len(worst) == 2
    assert worst[0]["score"] == min(row["f1"] for row in rows.values())
    assert sum(passage["cited"] for passage in worst[0]["passages"]) == 2


def test_memory_of_a_gpu_is_told_where_one_is_used(model: UniMoER) -> None:
    assert "gpu_peak" not in memory_mb([model])
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    layer = torch.nn.Linear(1000, 1000, device="cuda")
    assert memory_mb([layer])["gpu_peak"] >= 4
