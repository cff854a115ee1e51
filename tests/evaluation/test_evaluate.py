"""A checkpoint measured on a small data set, against measures taken independently."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pytest
import torch
from model.tiny_models import make_model, save_backbone
from numpy.typing import NDArray
from training.toy import write_beir, write_toy

from unimoer_rag.data.datasets import BeirDataset, Run, load_beir, load_run
from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.answers import score_answers
from unimoer_rag.evaluation.evaluate import PARTS, EvalOptions, evaluate
from unimoer_rag.evaluation.measure_ranking import rerank_run
from unimoer_rag.evaluation.passages import CUTOFFS
from unimoer_rag.evaluation.ranking import MEASURES
from unimoer_rag.evaluation.systems import Unified
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> UniMoER:
    return make_model(save_backbone("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> BeirDataset:
    """Questions with the passages that answer them."""
    return load_beir(write_toy(tmp_path_factory.mktemp("reading"), "dev"), "dev")


@pytest.fixture(scope="module")
def finding(tmp_path_factory: pytest.TempPathFactory) -> BeirDataset:
    """The same without contexts: answers have to be found."""
    folder = tmp_path_factory.mktemp("finding")
    return load_beir(write_toy(folder, "dev", context=False), "dev")


def _measures(dataset: BeirDataset, run: Run) -> dict[str, float]:
    wanted = [ir_measures.parse_measure(name) for name in MEASURES]
    found = ir_measures.calc_aggregate(wanted, dataset.qrels, run)
    return {str(measure): round(value, 5) for measure, value in found.items()}


def _ranking(values: dict[str, float]) -> dict[str, float]:
    """What `_measures` holds, of a result's means."""
    return {name: value for name, value in values.items() if name in MEASURES}


def _dense(model: UniMoER, dataset: BeirDataset) -> Run:
    """Every document's cosine for every question."""
    names = list(dataset.corpus)
    documents = model.embed([f"{d.title}. {d.text}" for d in dataset.corpus.values()])
    questions = model.embed([q.text for q in dataset.questions], "query")
    return {
        q.id: dict(zip(names, map(float, row), strict=True))
        for q, row in zip(dataset.questions, questions @ documents.T, strict=True)
    }


@pytest.mark.slow
def test_a_result_has_everything_and_is_json(model: UniMoER, finding: BeirDataset) -> None:
    seen: dict[str, tuple[int, int]] = {}

    def progress(what: str, done: int, total: int) -> None:
        assert seen.get(what, (0, 0))[0] <= done <= total
        seen[what] = (done, total)

    result = evaluate(
        model, finding, options=EvalOptions(depth=5, n_timed=2), on_progress=progress
    ).to_dict()
    assert json.loads(json.dumps(result)) == result
    assert {
        "dataset", "split", "n", "retrieval", "rerank", "answers", "latency_ms", "memory_mb",
        "versions",
    } <= result.keys()  # fmt: skip
    assert (result["dataset"], result["split"], result["n"]) == (finding.name, "dev", 24)
    assert (result["passages"], result["n_judged"], result["rerank_depth"]) == (24, 24, 5)
    assert result["checkpoint_digest"] == model.checkpoint_digest
    found = tuple(f"answer-in-passage@{k}" for k in CUTOFFS)
    assert tuple(result["retrieval"]) == tuple(result["rerank"]) == (*MEASURES, *found)
    assert {"em", "f1", "from", "abstained"} <= result["answers"].keys()
    assert result["latency_ms"].keys() == {"search", "rerank", "answer"}
    assert all(value > 0 for value in result["latency_ms"].values())
    assert result["memory_mb"]["peak"] > result["memory_mb"]["model"] > 0
    assert result["versions"]["dtype"] == "float32"
    assert "ir-measures" in result["versions"]
    assert seen == dict.fromkeys(("indexing", "searching", "reranking", "answering"), (24, 24))


def test_retrieval_equals_an_independent_ranking(model: UniMoER, finding: BeirDataset) -> None:
    options = EvalOptions(parts=("retrieval",), n_timed=0)
    result = evaluate(model, finding, options=options).to_dict()
    expected = _measures(finding, _dense(model, finding))
    assert _ranking(result["retrieval"]) == pytest.approx(expected, abs=1e-4)
    assert 0 < result["retrieval"]["nDCG@10"] < 1
    assert (result["rerank"], result["answers"], result["latency_ms"]) == ({}, {}, {})


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "feedback"), [(1, 0.0), (7, 0.0), (7, 0.3), (500, 0.0)])
def test_reranking_orders_the_first_and_leaves_the_rest(
    depth: int,
    feedback: float,
    model: UniMoER,
    finding: BeirDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = model.spec.changed(replace(model.task("rerank"), feedback=feedback))
    monkeypatch.setattr(model, "spec", spec)
    first = _dense(model, finding)
    second = rerank_run(Unified(model), finding, finding.questions, first, depth, lambda *_: None)
    expected: Run = {}
    for question in finding.questions:
        before = sorted(first[question.id], key=lambda d: -first[question.id][d])
        top, rest = before[:depth], before[depth:]
        logits = model.rank(question.text, [finding.content(d) for d in top], logits=True)
        after = [top[i] for i in np.argsort(-logits, kind="stable")] + rest
        scores = second[question.id]
        assert sorted(scores, key=lambda d: -scores[d])[depth:] == rest
        assert {d for d in scores if scores[d] > max([scores[r] for r in rest], default=-1e9)} == (
            set(top)
        )
        expected[question.id] = {d: -float(at) for at, d in enumerate(after)}
    options = EvalOptions(parts=("rerank",), depth=depth, n_timed=0)
    result = evaluate(model, finding, options=options).to_dict()
    # Scores of equal texts may tie, and batches of another shape may part them.
    assert _ranking(result["rerank"]) == pytest.approx(_measures(finding, expected), abs=2e-3)


class _Indifferent(Unified):
    """Scores everything alike."""

    def rank(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float32]]:
        return [np.full(len(texts), 7.5, dtype=np.float32) for texts in documents]


def test_what_a_reranker_cannot_tell_apart_keeps_its_order(
    model: UniMoER, finding: BeirDataset
) -> None:
    options = EvalOptions(parts=("retrieval", "rerank"), depth=10, n_timed=0)
    result = evaluate(_Indifferent(model), finding, options=options).to_dict()
    assert result["rerank"] == result["retrieval"]


@pytest.mark.slow
def test_a_deep_reranking_retrieves_as_deep(model: UniMoER, tmp_path: Path) -> None:
    corpus = [{"_id": f"d{i}", "text": f"the report {'a ' * (i % 40)}{i}"} for i in range(130)]
    questions = [{"_id": "q", "text": "who wrote the report"}]
    qrels = [("q", f"d{i}", 1) for i in range(130)]
    dataset = load_beir(write_beir(tmp_path / "deep", "dev", corpus, questions, qrels), "dev")
    shallow = evaluate(
        model, dataset, options=EvalOptions(parts=["retrieval"], n_timed=0)
    ).to_dict()
    deep = evaluate(
        model, dataset, options=EvalOptions(parts=["rerank"], depth=130, n_timed=0)
    ).to_dict()
    assert shallow["retrieval"]["AP"] == pytest.approx(100 / 130, abs=1e-4)
    assert deep["retrieval"]["AP"] == deep["rerank"]["AP"] == 1.0


class _Remembering(Unified):
    """Counts what was kept when it was told to forget."""

    def __init__(self, model: UniMoER) -> None:
        super().__init__(model)
        self.kept: list[int] = []

    def forget(self) -> None:
        self.kept.append(len(Engine.of(self.model).cache))
        super().forget()
        assert len(Engine.of(self.model).cache) == 0


@pytest.mark.slow
def test_nothing_is_kept_before_a_timed_call(model: UniMoER, finding: BeirDataset) -> None:
    system = _Remembering(model)
    result = evaluate(system, finding, options=EvalOptions(depth=5, n_timed=3)).to_dict()
    assert len(system.kept) == 9  # before each answer, search and reranking that is timed
    assert max(system.kept) > 0
    warm = result["warm_latency_percentiles_ms"]
    assert {"answer", "answer/rerank"} <= warm.keys() <= result["latency_percentiles_ms"].keys()


# -- a given run ----------------------------------------------------------------------------


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.trec"
    lines = [
        f"q{q} Q0 d{d} {at} {10 - at} bm25"
        for q in range(6)
        for at, d in enumerate([(q + 5) % 24, q, (q + 2) % 24])
    ]
    path.write_text("\n".join([*lines, "elsewhere Q0 unknown 1 1.0 bm25"]), encoding="utf-8")
    return path


def test_a_run_is_rescored_whole(model: UniMoER, finding: BeirDataset, run_file: Path) -> None:
    run = load_run(run_file)
    options = EvalOptions(parts=("retrieval", "rerank"), depth=1, n_timed=1)
    result = evaluate(model, finding, run=run, options=options).to_dict()
    assert (result["first_stage"], result["rerank_depth"]) == ("given run", "whole run")
    assert result["latency_ms"].keys() == {"rerank"}  # nothing was searched
    del run["elsewhere"]
    # The right document comes second for 6 of 24 questions; the others count as 0.
    assert result["retrieval"]["RR@10"] == pytest.approx(0.5 * 6 / 24)
    rescored = {
        qid: dict(
            zip(
                docs,
                map(
                    float,
                    model.score(
                        next(q.text for q in finding.questions if q.id == qid),
                        [finding.content(d) for d in docs],
                        logits=True,
                    ),
                ),
                strict=True,
            )
        )
        for qid, docs in run.items()
    }
    full = {**{q.id: {} for q in finding.questions}, **rescored}
    assert _ranking(result["rerank"]) == pytest.approx(_measures(finding, full), abs=1e-4)


@pytest.mark.slow
def test_a_run_of_another_data_set_is_refused(
    model: UniMoER, finding: BeirDataset, run_file: Path
) -> None:
    stranger: Run = {"q0": {"d0": 1.0, "d99": 0.5}}
    with pytest.raises(DataError, match=r"ranks the document 'd99'.*belongs to this data set"):
        evaluate(model, finding, run=stranger)
    with pytest.raises(DataError, match=r"none of the 24 judged questions.*'x'.*'q0'"):
        evaluate(model, finding, run={"x": {"d0": 1.0}})


# -- answers --------------------------------------------------------------------------------


def test_answers_are_read_from_their_contexts(model: UniMoER, reading: BeirDataset) -> None:
    result = evaluate(model, reading, options=EvalOptions(parts=("answers",), n_timed=1)).to_dict()
    spans = {
        q.id: model.read(q.text, [reading.corpus[q.context or ""].text])[0]
        for q in reading.questions
    }
    # No question is without an answer, so the reader has to give one.
    expected = score_answers(
        {qid: span.text for qid, span in spans.items()}, reading.golds, rules="squad"
    )
    assert result["answers"]["from"] == "the gold passage"
    assert result["answers"]["f1"] == pytest.approx(expected.f1, abs=0.01)
    assert result["answers"]["no_answer_f1"] is None
    assert result["latency_ms"].keys() == {"read"}
    assert (result["retrieval"], result["rerank"]) == ({}, {})


def test_the_reader_may_abstain_where_there_is_nothing_to_find(
    model: UniMoER, reading: BeirDataset
) -> None:
    mixed = replace(
        reading,
        questions=[
            replace(q, answers=() if at % 2 else q.answers)
            for at, q in enumerate(reading.questions)
        ],
    )
    spans = {
        q.id: model.read(q.text, [mixed.corpus[q.context or ""].text])[0] for q in mixed.questions
    }
    # A reader for which "no answer" beats half of the spans.
    wary = make_model(model.path)
    middle = float(np.median([span.margin for span in spans.values()]))
    with torch.no_grad():
        wary.heads["read"].null.bias += middle  # type: ignore[union-attr, operator]
    predictions = {qid: span.text if span.margin > middle else "" for qid, span in spans.items()}
    assert 6 < sum(not text for text in predictions.values()) < 18
    result = evaluate(wary, mixed, options=EvalOptions(parts=("answers",), n_timed=0)).to_dict()
    expected = score_answers(predictions, mixed.golds, rules="squad")
    assert result["answers"]["n_no_answer"] == 12
    assert result["answers"]["no_answer_f1"] == pytest.approx(expected.no_answer_f1, abs=0.01)
    assert result["answers"]["f1"] == pytest.approx(expected.f1, abs=0.01)


def test_without_contexts_the_whole_pipeline_answers(model: UniMoER, finding: BeirDataset) -> None:
    few = finding.limit(4)
    result = evaluate(model, few, options=EvalOptions(parts=("answers",), depth=6)).to_dict()
    with UnifiedRetriever(model, chunking="whole", rerank=6) as retriever:
        retriever.add(few.corpus.values())
        pipeline = RagPipeline(retriever)
        predictions = {q.id: pipeline.answer(q.text).text or "" for q in few.questions}
    expected = score_answers(predictions, few.golds, rules="squad")
    assert result["answers"]["from"] == "the whole pipeline, dense search"
    assert result["answers"]["abstained"] == sum(not text for text in predictions.values())
    assert result["answers"]["f1"] == pytest.approx(expected.f1, abs=0.01)


# -- options --------------------------------------------------------------------------------


def test_parts_are_measured_as_far_as_the_data_set_goes(
    model: UniMoER, reading: BeirDataset
) -> None:
    unanswered = replace(reading, questions=[replace(q, answers=None) for q in reading.questions])
    result = evaluate(model, unanswered, options=EvalOptions(depth=5, n_timed=0)).to_dict()
    assert tuple(result["retrieval"]) == tuple(result["rerank"]) == MEASURES
    assert result["answers"] == {}
    bare = replace(unanswered, qrels={})
    with pytest.raises(
        DataError, match=r"nothing to measure retrieval of 'unimoer' by: 0 question"
    ):
        evaluate(model, bare, options=EvalOptions(parts=("retrieval",)))


@pytest.mark.slow
def test_unjudged_questions_are_measured_by_where_their_answers_stand(
    model: UniMoER, finding: BeirDataset
) -> None:
    options = EvalOptions(parts=("retrieval", "rerank"), depth=5, n_timed=0)
    judged = evaluate(model, finding, options=options).to_dict()
    unjudged = evaluate(model, replace(finding, qrels={}), options=options).to_dict()
    found = tuple(f"answer-in-passage@{k}" for k in CUTOFFS)
    assert unjudged["n_judged"] == 0
    for part in ("retrieval", "rerank"):
        assert unjudged[part] == {name: judged[part][name] for name in found}


@pytest.mark.slow
def test_at_depth_0_nothing_is_reranked(model: UniMoER, finding: BeirDataset) -> None:
    result = evaluate(model, finding, options=EvalOptions(depth=0, n_timed=1)).to_dict()
    assert (result["rerank"], result["rerank_depth"]) == ({}, 0)
    assert result["latency_ms"].keys() == {"search", "answer"}
    retriever = UnifiedRetriever(model, chunking="whole", rerank=0)
    retriever.add(finding.corpus.values())
    pipeline = RagPipeline(retriever)
    predictions = {q.id: pipeline.answer(q.text).text or "" for q in finding.questions}
    assert result["answers"]["f1"] == pytest.approx(
        score_answers(predictions, finding.golds, rules="squad").f1, abs=0.01
    )


@pytest.mark.parametrize(
    "options",
    [
        {"parts": ("speed",)},
        {"parts": ()},
        {"parts": "answers"},
        {"depth": -1},
        {"n_timed": -1},
        {"seed": -1},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    (value,) = options.values()
    with pytest.raises(InputError, match="expected") as caught:
        EvalOptions(**options)
    assert str(value) in str(caught.value)
    assert "parts" not in options or all(part in str(caught.value) for part in PARTS)


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_other_first_stages(mode: Any, model: UniMoER, finding: BeirDataset) -> None:
    options = EvalOptions(parts=("retrieval",), mode=mode, n_timed=0)
    result = evaluate(model, finding, options=options).to_dict()
    assert result["first_stage"] == mode
    # Words tell these documents apart, random vectors hardly do.
    dense = evaluate(model, finding, options=EvalOptions(parts=("retrieval",), n_timed=0)).to_dict()
    assert result["retrieval"]["nDCG@10"] > dense["retrieval"]["nDCG@10"]


@pytest.mark.slow
def test_a_kept_index_is_used_again(model: UniMoER, finding: BeirDataset, tmp_path: Path) -> None:
    options = EvalOptions(parts=("retrieval",), index=tmp_path / "index", n_timed=0)
    first = evaluate(model, finding, options=options).to_dict()
    rows = Engine.of(model).stats.rows
    second = evaluate(model, finding, options=options).to_dict()
    assert second["retrieval"] == first["retrieval"]
    # Only the questions went through the model again.
    assert Engine.of(model).stats.rows - rows == len(finding.questions)

    renamed = replace(
        finding,
        name="other",
        corpus={f"x{name}": replace(d, source=f"x{name}") for name, d in finding.corpus.items()},
    )
    with pytest.raises(DataError, match=r"holds 48 passages, 24 of them not from this corpus"):
        evaluate(model, renamed, options=options)


@pytest.mark.slow
def test_trec_dl_2021_bm25(data_dir: Path, model: UniMoER) -> None:
    """The figure of the issue: BM25's own order on TREC-DL 2021."""
    dataset = load_beir(data_dir / "trec-dl-2021", "dev")
    run = load_run(data_dir / "trec-dl-2021" / "run.bm25.trec.gz")
    result = evaluate(model, dataset, run=run, options=EvalOptions(parts=("retrieval",))).to_dict()
    assert result["retrieval"]["nDCG@10"] == pytest.approx(0.446, abs=5e-4)
    assert "RR(rel=2)@10" in result["retrieval"]
