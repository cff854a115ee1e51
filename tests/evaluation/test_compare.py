from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.compare import Result, compare_results, load_result
from unimoer_rag.evaluation.statistics import compare

RETRIEVAL = np.random.default_rng(0).random((2, 12)).round(4)


def _result(values: Any = RETRIEVAL[0], **changed: Any) -> Result:
    """A result with one value a question."""
    rows = {f"q{n}": {"nDCG@10": float(value), "AP": 0.5} for n, value in enumerate(values)}
    fields = {
        "dataset": "nq",
        "split": "dev",
        "corpus_sha256": "c0",
        "questions_sha256": "a0",
        "checkpoint": "unimoer-minilm",
        "checkpoint_digest": "d0",
        "first_stage": "dense",
        "rerank_depth": 50,
        "answers": {"f1": 50.0},
        "per_question": {"retrieval": rows, "rerank": {}, "answers": {}},
    }
    return Result.from_dict({**fields, **changed})


def test_differences_are_those_of_the_questions() -> None:
    found = compare_results(_result(), _result(RETRIEVAL[1], checkpoint="other"), seed=3)
    assert json.loads(json.dumps(found)) == found
    row = found["differences"]["retrieval"]["nDCG@10"]
    expected = compare(list(RETRIEVAL[0]), list(RETRIEVAL[1]), seed=3)
    assert row["difference"] == pytest.approx(np.mean(RETRIEVAL[1] - RETRIEVAL[0]), abs=1e-5)
    assert (row["first"], row["second"]) == pytest.approx(RETRIEVAL.mean(axis=1), abs=1e-5)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-5)
    theirs = stats.permutation_test(
        tuple(RETRIEVAL), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=9999
    )
    assert row["p_value"] == pytest.approx(theirs.pvalue, abs=1e-5)
    assert row["n"] == 12
    assert found["differences"]["retrieval"]["AP"]["p_value"] == 1.0
    assert found["differences"]["rerank"] == found["differences"]["answers"] == {}
    assert (found["first"]["checkpoint"], found["second"]["checkpoint"]) == (
        "unimoer-minilm",
        "other",
    )


def test_only_shared_measures_are_compared_question_by_question_in_any_order() -> None:
    ours = {"q1": {"em": 0.0, "f1": 50.0}, "q2": {"em": 100.0, "f1": 100.0}}
    theirs = {"q2": {"em": 100.0}, "q1": {"em": 100.0}}
    found = compare_results(
        _result(per_question={"answers": ours}), _result(per_question={"answers": theirs})
    )
    assert list(found["differences"]["answers"]) == ["em"]
    row = found["differences"]["answers"]["em"]
    assert (row["difference"], row["low"], row["high"], row["p_value"]) == (50, 0, 100, 1)


def test_measures_that_not_every_question_has_are_compared_where_both_have_them() -> None:
    def cited(**precision: float) -> Result:
        rows = {qid: {"citation_precision": value} for qid, value in precision.items()}
        judged = {qid: {"faithfulness": value / 100} for qid, value in precision.items()}
        return _result(per_question={"answers": rows, "ragas": judged})

    found = compare_results(cited(a=100, b=50, c=0), cited(b=100, c=0, d=100))["differences"]
    row = found["answers"]["citation_precision"]
    assert (row["first"], row["second"], row["difference"], row["n"]) == (25, 50, 25, 2)
    judged = found["ragas"]["faithfulness"]
    assert (judged["difference"], judged["n"]) == (0.25, 2)
    with pytest.raises(DataError, match="no measure in common"):
        compare_results(cited(a=100), cited(b=100))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": "hotpotqa"}, "data set: the first has 'nq', the second has 'hotpotqa'"),
        ({"split": "test"}, "split: the first has 'dev', the second has 'test'"),
        ({"questions_sha256": "a1"}, "questions: the first has 0 questions of nq dev, .* but"),
        ({"questions_sha256": "a1", "n": 7}, "the second has 7 questions of nq dev; compare"),
        ({"corpus_sha256": "c1"}, "differ in their corpus: the first has 0 passages of nq, the"),
        ({"answers": {"rules": "hotpotqa"}}, "by the rules of hotpotqa and of squad"),
        ({"per_question": {"answers": {"q0": {"em": 1.0}}}}, "has retrieval, the second answers"),
        ({"per_question": {}}, "the second none; measure the same --parts"),
        ({"values": RETRIEVAL[1][:5]}, "for 12 and 5 questions that are not the same"),
    ],
)
def test_results_of_other_data_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as failed:
        compare_results(_result(), _result(**changed))
    assert not re.search("sha256|[ac][01]'", str(failed.value))  # digests tell nobody anything


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed is -1"):
        compare_results(_result(), _result(), seed=-1)


def test_a_result_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(_result().to_dict()), encoding="utf-8")
    assert load_result(path) == _result()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no result of 'unimoer-rag eval --json': Invalid JSON"),
        ("[]", "is no result of 'unimoer-rag eval --json'"),
        ('{"ours": 1}', "lacks 'dataset'"),
        (
            json.dumps({k: v for k, v in _result().to_dict().items() if k != "per_question"}),
            "lacks 'per_question'.*an older version wrote it, so measure again",
        ),
        (
            json.dumps(_result().to_dict()).replace('"AP": 0.5', '"AP": "x"'),
            r"at 'per_question.*q0.AP'",
        ),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_result(path)


def test_results_of_older_versions_are_refused() -> None:
    old = Path(__file__).resolve().parents[2] / "results" / "minilm" / "nq-dev.json"
    if "per_question" in json.loads(old.read_text(encoding="utf-8")):
        pytest.skip("measured again since")
    with pytest.raises(DataError, match="measure again with 'unimoer-rag eval --json'"):
        load_result(old)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"could not read the result .*none.json \(No such file"):
        load_result(tmp_path / "none.json")
