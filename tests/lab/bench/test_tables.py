"""Tables of what benchmarks found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.lab.commands.bench import NAMES, open_bench
from unimoer_rag.lab.tables import Table

ROOT = Path(__file__).parents[3]


def lines(bench: str, found: dict[str, Any]) -> list[str]:
    return open_bench(bench).table(found).markdown().splitlines()


def test_the_same_table_for_a_page_and_a_terminal() -> None:
    table = Table("What was found", ("side", "n"), [("ours|1", "2"), ("theirs", "")], ["A note."])
    assert table.markdown().splitlines() == [
        "What was found:",
        "",
        "| side | n |",
        "|---|---:|",
        r"| ours\|1 | 2 |",
        "| theirs |  |",
        "",
        "A note.",
    ]
    shown = table.rich()
    assert shown.title == "What was found"
    assert [list(column.cells) for column in shown.columns] == [["ours|1", "theirs"], ["2", ""]]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_measured_once_is_still_shown(name: str) -> None:
    path = ROOT / "benchmarks" / f"{name}.json"
    table = open_bench(name).table(json.loads(path.read_text(encoding="utf-8")))
    assert table.rows
    assert {len(row) for row in table.rows} == {len(table.heads)}


def test_states_table() -> None:
    found = {
        "data": "nq",
        "split": "dev",
        "questions": 3,
        "depth": 50,
        "others": {"encoded": {"ndcg_at_10": 0.9, "milliseconds_a_query": 300.0}},
        "ours": {
            "int8": {
                "bytes_a_passage": 12345,
                "ndcg_at_10": 0.89,
                "score_change": -0.0123,
                "milliseconds_a_query": 30.04,
            }
        },
        "maxsim_milliseconds": {"50": 1.0, "1000": 4.25},
    }
    assert lines("states", found)[3:] == [
        "|---|---:|---:|---:|---:|",
        "| encoded |  | 0.9000 |  | 300.0 |",
        "| int8 | 12,345 | 0.8900 | -0.012 | 30.0 |",
        "",
        "Milliseconds of MaxSim alone, by candidates, int8 without pooling: 1.0 with 50, "
        "4.2 with 1,000.",
    ]


def test_precision_table() -> None:
    side = {
        **{"bytes": 97e6, "cosine": 1.0, "rerank_ndcg_10": 0.7},
        **{"retrieval_ndcg_10": 0.9, "read_f1": 78.25, "seconds": 2.0},
    }
    found = {
        "ours": {"float32": side, "int8": {**side, "bytes": 30e6, "seconds": 1.0}},
        "others": {
            "float32": {"bytes": 181e6, "seconds": 5.0},
            "int8": {"bytes": 50e6, "seconds": 3.0},
        },
        "ratios": {"float32": 0.536, "int8": 0.6},
    }
    assert lines("precision", found)[4:] == [
        "| float32 | 97.0 | 181.0 (0.54) | 1.0000 | 0.7000 | 0.9000 | 78.2 | 1.00 | 2.50 |",
        "| int8 | 30.0 | 50.0 (0.60) | 1.0000 | 0.7000 | 0.9000 | 78.2 | 0.50 | 1.50 |",
    ]


def test_vectors_table() -> None:
    side = {
        **{"memory_bytes_a_million": 1591e6, "disk_bytes_a_million": 1592e6, "nDCG@10": 0.94},
        **{"recall@10": 1.0, "recall@100": 0.99, "milliseconds": {"p50": 1.5, "p95": 2}},
    }
    found = {
        **{"data": "nq", "split": "dev", "passages": 5000, "queries": 9},
        **{"others": {"float32": side}, "ours": {"int8": side}},
    }
    shown = lines("vectors", found)
    assert shown[0] == "nq dev, 5,000 passages, 9 questions:"
    assert shown[-1] == "| int8 | 1,591 | 1,592 | 1.0000 | 0.9900 | 0.9400 | 1.50 | 2.00 |"


def test_profile_table() -> None:
    found = {
        "ours": {"query_ms": {"find": 10.0, "encode": 30.0}, "document_ms": {"encode": 5.0}},
        "others": {"transformers": {"encode_ms": {"query": 60.0, "document": 9.0}}},
        "repeats": 9,
        "operators": {"linear layers": 0.75, "other": 0.25},
        "roofline": {"gflops": 100.0, "peak_gflops": 400.0, "share": 0.25},
    }
    assert lines("profile", found)[4:] == [
        "| query: find | 10.0 | 25% |  |",
        "| query: encode | 30.0 | 75% | 60.0 |",
        "| query, whole | 40.0 |  |  |",
        "| document: encode | 5.0 | 100% | 9.0 |",
        "| document, whole | 5.0 |  |  |",
        "",
        "One batch, by kind of operator: linear layers 75%, other 25%.",
        "",
        "The query's forwards reach 100 GFLOP/s, 25% of the 400 of a large product.",
    ]


def test_growth_table() -> None:
    side = {
        **{"store_seconds": 5.31, "optimize_seconds": 0.0, "add_seconds": 0.388},
        **{"index_memory_bytes": 36e6, "index_resident_bytes": 104e6},
        **{"disk_bytes": 59e6, "open_seconds": 0.14},
        **{
            "search_memory_bytes": 12e6,
            "dense_p50_milliseconds": 3.52,
            "hybrid_p50_milliseconds": 7.0,
        },
    }
    found = {"ours": {"10000": side}, "exponents": {"10000 to 100000": {"add_seconds": 0.1}}}
    assert lines("growth", found)[4:] == [
        "| 10,000 | 5.3 | 0.0 | 0.39 | 36 | 104 | 59 | 0.14 | 12 | 3.5 | 7.0 |",
        "| exponent, 10000 to 100000 |  |  | 0.10 |  |  |  |  |  |  |  |",
    ]
