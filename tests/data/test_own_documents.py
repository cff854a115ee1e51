"""BEIR's rule: where questions are documents, none finds itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.official_files import lines, write
from model.tiny_models import make_model, save_backbone
from training.toy import write_beir

from unimoer_rag.data.datasets import BeirDataset, Run, load_beir
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import open_dataset
from unimoer_rag.evaluation.calibrating import outcomes_on
from unimoer_rag.evaluation.evaluate import EvalOptions, evaluate
from unimoer_rag.evaluation.systems import System, Unified
from unimoer_rag.lab.baselines.cosine import CosineRanker, ModelEmbedder
from unimoer_rag.lab.baselines.two_stage import TwoStage
from unimoer_rag.model.unimoer import UniMoER

RANKING = ("retrieval", "rerank")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> UniMoER:
    return make_model(save_backbone("bert", tmp_path_factory.mktemp("bert")))


def shared_ids(folder: Path, n: int = 6) -> BeirDataset:
    """Questions that are documents of the corpus; the next document is the relevant one."""
    texts = [f"the report {'a ' * at}{at}" for at in range(n)]
    corpus = [{"_id": f"a{at}", "text": text} for at, text in enumerate(texts)]
    qrels = [(f"a{at}", f"a{(at + 1) % n}", 1) for at in range(n)]
    return load_beir(write_beir(folder / "arguments", "dev", corpus, corpus, qrels), "dev")


@pytest.fixture
def arguments(tmp_path: Path) -> BeirDataset:
    return shared_ids(tmp_path)


def test_the_layout_has_the_rule(arguments: BeirDataset) -> None:
    assert arguments.ignore_identical_ids
    assert arguments.own_documents == {q.id for q in arguments.questions}
    assert arguments.without_own("a1", {"a0": 1.0, "a1": 2.0}) == {"a0": 1.0}


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_no_question_finds_itself(model: UniMoER, arguments: BeirDataset, mode: str) -> None:
    options = EvalOptions(parts=RANKING, mode=mode, depth=5, n_timed=0, n_worst=6)  # type: ignore[arg-type]
    result = evaluate(model, arguments, options=options).to_dict()
    assert (result["ignore_identical_ids"], result["n_own_documents"]) == (True, 6)
    for part in RANKING:
        # Five others are left, and the relevant one is among them.
        assert result[part]["R@5"] == 1.0
    for told in result["details"]["worst"]:
        assert told["id"] not in {passage["id"] for passage in told["passages"]}
    assert all(before <= 5 for before, _ in result["details"]["ranks"].values())


def test_it_takes_no_place_among_the_first(model: UniMoER, tmp_path: Path) -> None:
    """A hundred others are found, and of a reranked depth all are others."""
    deep = shared_ids(tmp_path, 103)
    qrels = {q.id: {d: 1 for d in deep.corpus if d != q.id} for q in deep.questions[:2]}
    all_others = replace(deep, questions=deep.questions[:2], qrels=qrels)
    result = evaluate(
        model, all_others, options=EvalOptions(parts=RANKING, depth=7, n_timed=0)
    ).to_dict()
    assert result["retrieval"]["AP"] == pytest.approx(100 / 102, abs=1e-4)
    assert result["retrieval"]["R@100"] == pytest.approx(100 / 102, abs=1e-4)


def baseline(model: UniMoER) -> System:
    embedder = ModelEmbedder(model)
    return TwoStage("pair", embedder=embedder, ranker=CosineRanker(embedder))


@pytest.mark.slow
def test_baselines_and_given_runs(model: UniMoER, arguments: BeirDataset) -> None:
    options = EvalOptions(parts=RANKING, n_timed=0)
    result = evaluate(baseline(model), arguments, options=options).to_dict()
    assert [result[part]["R@5"] for part in RANKING] == [1.0, 1.0]
    run = {q.id: {q.id: 9.0, f"a{(at + 1) % 6}": 1.0} for at, q in enumerate(arguments.questions)}
    for system in (Unified(model), baseline(model)):
        given = evaluate(system, arguments, run=run, options=options).to_dict()
        assert [given[part]["nDCG@10"] for part in RANKING] == [1.0, 1.0]
    with pytest.raises(DataError, match="ranks none of the 6 judged questions"):
        evaluate(model, arguments, run={"a1": {"a1": 1.0}}, options=options)


def test_calibration(model: UniMoER, tmp_path: Path) -> None:
    """The same outcomes as over a corpus that does not hold the question's document."""
    shared = shared_ids(tmp_path / "shared")
    one = replace(shared, questions=shared.questions[:1], qrels={"a0": shared.qrels["a0"]})
    apart = replace(one, corpus={d: doc for d, doc in one.corpus.items() if d != "a0"})
    (with_own,) = outcomes_on(model, one, mode="dense", depth=3)
    (without,) = outcomes_on(model, apart, mode="dense", depth=3)
    np.testing.assert_allclose(with_own.certainty, without.certainty, atol=1e-5)
    np.testing.assert_array_equal(with_own.never, without.never)
    np.testing.assert_array_equal(with_own.always, without.always)


def test_ids_that_are_numbered_apart(model: UniMoER, tmp_path: Path) -> None:
    """A question judged to find the document of its own number is another thing than that."""
    corpus = [{"_id": str(at), "text": f"the report {at}"} for at in range(3)]
    questions = [{"_id": str(at), "text": f"which report is {at}"} for at in range(3)]
    qrels = [(str(at), str(at), 1) for at in range(3)]
    dataset = load_beir(write_beir(tmp_path / "own", "dev", corpus, questions, qrels), "dev")
    assert not dataset.ignore_identical_ids
    result = evaluate(model, dataset, options=EvalOptions(parts=RANKING, n_timed=0)).to_dict()
    assert result["retrieval"]["R@5"] == 1.0
    assert (result["ignore_identical_ids"], result["n_own_documents"]) == (False, 0)


def test_lines_and_passages_that_share_numbers_are_different_things(tmp_path: Path) -> None:
    """NQ-open's questions have no ids: the number of a line is no passage's."""
    asked = write(tmp_path / "nq.jsonl", lines([{"question": "who?", "answer": ["a poet"]}]))
    passages = write(tmp_path / "psgs.tsv", "id\ttext\ttitle\n1\tA poet sings.\tPoets\n")
    dataset = open_dataset(data=asked, corpus=passages, cache=tmp_path)
    assert [q.id for q in dataset.questions] == list(dataset.corpus) == ["1"]
    assert dataset.own_documents == frozenset()


@pytest.mark.slow
def test_excluded_documents_take_no_place(model: UniMoER, tmp_path: Path) -> None:
    """BRIGHT's rule: what a question must not find is as if the corpus did not hold it."""
    plain = replace(shared_ids(tmp_path), ignore_identical_ids=False)
    (question, *_), doc_ids = plain.questions, list(plain.corpus)
    one = replace(plain, questions=[question], qrels={question.id: plain.qrels[question.id]})
    relevant = set(one.qrels[question.id])
    out = frozenset(doc_ids) - relevant - {doc_ids[-1]}
    excluding = replace(one, excluded={question.id: out | {"gone"}})
    without = replace(one, corpus={d: doc for d, doc in one.corpus.items() if d not in out})
    options = EvalOptions(parts=RANKING, n_timed=0)
    runs: list[Run] = []
    found = [
        evaluate(model, data, options=options, on_ranked=runs.append)
        for data in (excluding, without)
    ]
    assert [list(run[question.id]) for run in runs] == [[*runs[0][question.id]]] * 2
    assert set(runs[0][question.id]) == relevant | {doc_ids[-1]}
    for part in RANKING:
        assert found[0].means(part) == pytest.approx(found[1].means(part))
    given_run = {question.id: dict.fromkeys(doc_ids, 1.0)}
    given = evaluate(model, excluding, run=given_run, options=options)
    assert given.retrieval["R@5"] == 1.0
