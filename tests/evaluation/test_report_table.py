"""Systems side by side."""

from __future__ import annotations

from typing import Any

import pytest

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.report import markdown_table, system_rows
from unimoer_rag.evaluation.report.table import columns_with_values
from unimoer_rag.evaluation.results import Result


def _result(system: str | None = "bm25", **changes: Any) -> Result:
    fields = {
        "dataset": "nq",
        "split": "dev",
        "corpus_sha256": "c0",
        "questions_sha256": "a0",
        "system": system,
        "first_stage": "sparse",
        "rerank_depth": 0,
        "per_question": {},
        "retrieval": {"nDCG@10": 0.8, "R@100": 0.9},
        "latency_percentiles_ms": {"search": {"p50": 1.25, "p95": 2.0, "p99": 3.0}},
        "memory_mb": {"model": 0.0, "peak": 512.4},
    }
    return Result.from_dict({**fields, **changes})


FULL = {
    "checkpoint": "unimoer-minilm",
    "first_stage": "dense",
    "rerank_depth": 50,
    "retrieval": {"nDCG@10": 0.9, "R@100": 0.9},
    "rerank": {"nDCG@10": 0.95},
    "answers": {"from": "the whole pipeline", "em": 33.0, "f1": 41.5, "has_answer_em": None},
    "latency_percentiles_ms": {
        "search": {"p50": 15.0, "p95": 20.0, "p99": 30.0},
        "rerank": {"p50": 1100.0, "p95": 1200.0, "p99": 1300.0},
        "answer": {"p50": 600.0, "p95": 700.0, "p99": 800.0},
    },
    "memory_mb": {"model": 52.0, "peak": 900.0, "gpu_peak": 100.0},
}


def test_a_row_tells_quality_latency_and_memory() -> None:
    ours, bm25 = system_rows([_result("unimoer", **FULL), _result()])
    assert (ours.system, ours.first_stage, ours.rerank_depth) == (
        "unimoer (unimoer-minilm)",
        "dense",
        50,
    )
    assert (ours.ndcg_first, ours.ndcg, ours.recall, ours.em, ours.f1) == (0.9, 0.95, 0.9, 33, 41.5)
    assert (ours.search_ms, ours.rerank_ms, ours.answer_ms) == (15, 1100, 600)
    assert (ours.model_mb, ours.peak_mb, ours.gpu_mb) == (52, 900, 100)
    assert (bm25.system, bm25.ndcg, bm25.em, bm25.rerank_ms, bm25.gpu_mb) == ("bm25", *[None] * 4)


def test_the_checkpoint_names_what_has_no_other_name() -> None:
    (row,) = system_rows([_result(None, checkpoint="minilm")])
    assert row.system == "minilm"


def test_graded_judgements_have_recall_too() -> None:
    (row,) = system_rows([_result(retrieval={"nDCG@10": 0.5, "R(rel=2)@100": 0.25})])
    assert row.recall == 0.25


def test_markdown_leaves_out_empty_columns_and_marks_the_best() -> None:
    rows = system_rows([_result("unimoer", **FULL), _result("a|b"), _result("c")])
    lines = markdown_table(rows).splitlines()
    assert lines[0] == (
        "| system | first stage | reranked | nDCG@10 first | nDCG@10 reranked | R@100 | EM | F1 | "
        "search ms | rerank ms | answer ms | model MB | peak MB | GPU MB |"
    )
    assert lines[2] == (
        "| unimoer (unimoer-minilm) | dense | 50 | **0.9000** | 0.9500 | 0.9000 | 33.00 | 41.50 | "
        "15.0 | 1,100 | 600 | 52 | 900 | 100 |"
    )
    assert lines[3].startswith("| a\\|b | sparse | 0 | 0.8000 |  | 0.9000 |")
    few = system_rows([_result(), _result("c")])
    assert [column.heading for column in columns_with_values(few)] == [
        "nDCG@10 first",
        "R@100",
        "search ms",
        "model MB",
        "peak MB",
    ]
    assert "**" not in markdown_table(few)  # nothing is best among equals


def test_texts_of_a_markdown_table_are_text() -> None:
    odd = "a|b\nc *d* _e_ `f` <script>x</script> [g](http://h) &lt; \x1b[2J\u2028 snake_case 1<2"
    lines = markdown_table(system_rows([_result(odd, first_stage="x|y")])).split("\n")
    assert len(lines) == 3
    assert lines[2].startswith(
        "| a\\|b c \\*d\\* \\_e\\_ \\`f\\` &lt;script>x&lt;/script> \\[g](http://h) "
        "&amp;lt; \u241b[2J snake_case 1<2 | x\\|y | 0 |"
    )


def test_cold_and_warm_answers_are_told_apart() -> None:
    def times(ms: float) -> dict[str, dict[str, float]]:
        return {"answer": {"p50": ms, "p95": ms, "p99": ms}}

    new = _result("new", latency_percentiles_ms=times(500), warm_latency_percentiles_ms=times(200))
    old = _result("old", latency_percentiles_ms=times(210))
    none = _result("none")
    rows = system_rows([new, old, none])
    assert [(r.answer_ms, r.warm_answer_ms, r.cold) for r in rows] == [
        (500, 200, True),
        (210, None, False),
        (None, None, True),
    ]
    assert "| answer ms | answer ms, warm |" in markdown_table(rows)


@pytest.mark.parametrize("name", ["dataset", "split", "corpus_sha256", "questions_sha256"])
def test_results_of_other_data_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="the results differ in their"):
        system_rows([_result(), _result(), _result(**{name: "other"})])


def test_nothing_is_no_table() -> None:
    with pytest.raises(InputError, match="no results"):
        system_rows([])
