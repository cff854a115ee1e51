from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from unimoer_rag.errors import InputError, MissingExtraError
from unimoer_rag.evaluation import MEASURES, evaluate_run, load_beir, load_run, per_query

QRELS = {"q1": {"a": 1, "b": 1, "c": 0}, "q2": {"a": 1}}


def test_values_agree_with_a_hand_calculation() -> None:
    # q1: c, a, x, b. Relevant at ranks 2 and 4.
    run = {"q1": {"c": 4.0, "a": 3.0, "x": 2.0, "b": 1.0}, "q2": {"a": 1.0}}
    values = per_query(QRELS, run)
    ideal = 1 + 1 / math.log2(3)
    assert values["q1"] == pytest.approx(
        {
            "nDCG@10": (1 / math.log2(3) + 1 / math.log2(5)) / ideal,
            "RR@10": 1 / 2,
            "R@5": 1.0,
            "R@20": 1.0,
            "R@100": 1.0,
            "AP": (1 / 2 + 2 / 4) / 2,
        }
    )
    assert values["q2"] == pytest.approx(dict.fromkeys(MEASURES, 1.0))
    assert evaluate_run(QRELS, run)["AP"] == pytest.approx(0.75)
    assert list(evaluate_run(QRELS, run)) == list(MEASURES)


def test_cutoffs() -> None:
    run = {"q2": {f"x{i}": 200.0 - i for i in range(150)}}
    recall = {"q2": dict.fromkeys(["x4", "x5", "x19", "x20"], 1)}
    assert [per_query(recall, run)["q2"][f"R@{k}"] for k in (5, 20, 100)] == [1 / 4, 3 / 4, 1.0]
    values = per_query({"q2": {"x10": 1, "x100": 1}}, run)["q2"]
    assert (values["nDCG@10"], values["RR@10"], values["R@100"]) == (0.0, 0.0, 0.5)
    assert values["AP"] == pytest.approx((1 / 11 + 2 / 101) / 2)


@pytest.mark.parametrize("run", [{"q2": {"a": 1.0}}, {"q1": {}, "q2": {"a": 1.0}}])
def test_a_judged_question_without_results_counts_as_zero(run: dict) -> None:
    assert evaluate_run(QRELS, run) == pytest.approx(dict.fromkeys(MEASURES, 0.5))


def test_an_empty_run_scores_zero() -> None:
    assert evaluate_run(QRELS, {}) == dict.fromkeys(MEASURES, 0.0)


def test_questions_without_judgements_are_left_out() -> None:
    run = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 1.0}}
    more = {**run, "stranger": {"a": 1.0}}
    assert evaluate_run(QRELS, more) == evaluate_run(QRELS, run)
    assert per_query(QRELS, more).keys() == QRELS.keys()


def test_the_relevance_level_moves_binary_measures_and_not_ndcg() -> None:
    qrels = {"q": {"a": 1, "b": 3}}
    run = {"q": {"a": 2.0, "b": 1.0}}
    low, high = evaluate_run(qrels, run), evaluate_run(qrels, run, relevance_level=2)
    recalls = [f"R(rel=2)@{k}" for k in (5, 20, 100)]
    assert list(high) == ["nDCG@10", "RR(rel=2)@10", *recalls, "AP(rel=2)"]
    assert (low["RR@10"], high["RR(rel=2)@10"], high["AP(rel=2)"]) == (1.0, 0.5, 0.5)
    assert low["nDCG@10"] == high["nDCG@10"]
    ideal = 3 + 1 / math.log2(3)
    assert low["nDCG@10"] == pytest.approx((1 + 3 / math.log2(3)) / ideal)


def test_the_names_parse_back_to_the_measures() -> None:
    ir_measures = pytest.importorskip("ir_measures")
    for name in evaluate_run(QRELS, {}, relevance_level=2):
        assert str(ir_measures.parse_measure(name)) == name


@pytest.mark.parametrize("relevant", ["a", "b"])
def test_ties_have_one_order_in_every_measure(relevant: str) -> None:
    # trec_eval puts b first. As 32-bit floats the two scores of the second run are equal too, but
    # they are not ours: the higher one wins.
    tied = evaluate_run({"q": {relevant: 1}}, {"q": {"a": 0.5, "b": 0.5}})
    assert tied["RR@10"] == tied["AP"] == (1.0 if relevant == "b" else 0.5)
    close = evaluate_run({"q": {relevant: 1}}, {"q": {"a": 0.5 + 1e-12, "b": 0.5}})
    assert close["RR@10"] == close["AP"] == (1.0 if relevant == "a" else 0.5)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_refused(score: float) -> None:
    with pytest.raises(InputError, match="question 'q1', document 'b'"):
        evaluate_run(QRELS, {"q1": {"a": 1.0, "b": score}})


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="no judgements"):
        evaluate_run({}, {"q1": {"a": 1.0}})
    with pytest.raises(InputError, match="none of the run's 1 questions is judged"):
        evaluate_run(QRELS, {"q9": {"a": 1.0}})


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'unimoer-rag\[eval\]'"):
        evaluate_run(QRELS, {})


def test_bm25_on_trec_dl_2021_scores_the_known_value(data_dir: Path) -> None:
    ir_measures = pytest.importorskip("ir_measures")
    dataset = load_beir(data_dir / "trec-dl-2021", "dev")
    run = load_run(data_dir / "trec-dl-2021" / "run.bm25.trec.gz")
    values = evaluate_run(dataset.qrels, run, relevance_level=dataset.relevance_level)
    assert round(values["nDCG@10"], 4) == 0.4458
    # The library's own averages, from the scores as they are in the file.
    measures = [ir_measures.parse_measure(name) for name in values]
    expected = ir_measures.calc_aggregate(measures, dataset.qrels, run)
    assert values == pytest.approx({str(m): value for m, value in expected.items()})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a\0b", "a\0c"),
        ("x\ud83d", "x\ud83e"),
        ("a b", "a  b"),
        ("\u00e9", "e\u0301"),
        ("a\n", "a"),
    ],
)
def test_any_two_ids_are_two_documents(first: str, second: str) -> None:
    """In C they may be one, or none: a crash."""
    odd = "q\0\ud800"
    found = per_query({odd: {first: 1, second: 0}}, {odd: {first: 0.2, second: 0.9}})
    assert found[odd]["RR@10"] == 0.5
    assert found[odd]["R@5"] == 1.0


@pytest.mark.parametrize("grade", [1001, -1001, 10**30])
def test_grades_are_small(grade: int) -> None:
    with pytest.raises(InputError, match="question 'q', document 'd': the grade is"):
        per_query({"q": {"d": grade}}, {"q": {"d": 1.0}})
