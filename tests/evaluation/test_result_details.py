"""What a result says beside its means: single questions, intervals, times, hashes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from model.tiny_models import make_model, save_backbone
from training.toy import write_toy

from unimoer_rag.evaluation.answers import exact_match, f1
from unimoer_rag.evaluation.datasets import BeirDataset, load_beir
from unimoer_rag.evaluation.evaluate import PARTS, EvalOptions, evaluate
from unimoer_rag.evaluation.fingerprint import corpus_sha256, questions_sha256
from unimoer_rag.evaluation.statistics import interval
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever


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
    return evaluate(model, dataset, options=EvalOptions(depth=5, n_timed=3, seed=4))


def test_every_mean_is_that_of_its_questions(result: dict[str, Any], dataset: BeirDataset) -> None:
    for part in PARTS:
        rows = result["per_question"][part]
        assert list(rows) == [q.id for q in dataset.questions]
        for measure in dict.fromkeys(name for row in rows.values() for name in row):
            values = [row[measure] for row in rows.values() if measure in row]
            digits = 2 if part == "answers" else 5
            assert result[part][measure] == pytest.approx(np.mean(values), abs=10**-digits)


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
    assert n == {
        "em": 24, "f1": 24, "abstention": 24,
        "has_answer_em": 18, "has_answer_f1": 18, "no_answer_f1": 6,
    }  # fmt: skip
    assert result["intervals"]["retrieval"]["answer-in-passage@1"]["n"] == 18


def test_answers_are_scored_one_by_one(model: UniMoER, dataset: BeirDataset) -> None:
    few = dataset.limit(5)
    measured = evaluate(model, few, options=EvalOptions(parts=("answers",), depth=5))
    with UnifiedRetriever(model, chunking="whole", rerank=5) as retriever:
        retriever.add(few.corpus.values())
        pipeline = RagPipeline(retriever)
        said = {q.id: pipeline.answer(q.text).text or "" for q in few.questions}
    rows = measured["per_question"]["answers"]
    for qid, golds in few.golds.items():
        assert rows[qid] == pytest.approx(
            {
                "em": 100 * exact_match(said[qid], golds),
                "f1": 100 * f1(said[qid], golds),
                "abstention": 0.0 if said[qid] else 100.0,
            },
            abs=1e-4,
        )
    assert measured["answers"]["abstention"] == pytest.approx(
        100 * measured["answers"]["abstained"] / 5
    )


def test_times_are_told_by_stage(result: dict[str, Any]) -> None:
    percentiles = result["latency_percentiles_ms"]
    stages = {"answer/retrieve", "answer/rerank", "answer/read"}
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
    result = evaluate(model, bare, options=EvalOptions(parts=("retrieval",), n_timed=0))
    assert not any(name.startswith("answer-in-passage") for name in result["retrieval"])
    assert (result["answers"], result["per_question"]["answers"]) == ({}, {})
    assert (result["intervals"]["rerank"], result["per_question"]["rerank"]) == ({}, {})
    assert result["latency_percentiles_ms"] == {}
    assert result["questions_per_second"].keys() == {"search"}
