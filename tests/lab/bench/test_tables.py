"""Tables of what benchmarks found."""

from __future__ import annotations

from unimoer_rag.lab.bench.tables import (
    growth_table,
    precision_table,
    profile_table,
    states_table,
    vectors_table,
)


def test_states_table() -> None:
    found = {
        "data": "nq",
        "split": "dev",
        "questions": 3,
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
    assert states_table(found).splitlines()[3:] == [
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
        **{"read_f1": 78.25, "seconds": 2.0},
    }
    found = {
        "ours": {"float32": side, "int8": {**side, "bytes": 30e6, "seconds": 1.0}},
        "others": {
            "float32": {"bytes": 181e6, "seconds": 5.0},
            "int8": {"bytes": 50e6, "seconds": 3.0},
        },
        "ratios": {"float32": 0.536, "int8": 0.6},
    }
    assert precision_table(found).splitlines()[2:] == [
        "| float32 | 97.0 | 181.0 (0.54) | 1.0000 | 0.7000 | 78.2 | 1.00 | 2.50 |",
        "| int8 | 30.0 | 50.0 (0.60) | 1.0000 | 0.7000 | 78.2 | 0.50 | 1.50 |",
    ]


def test_vectors_table() -> None:
    side = {
        **{"memory_bytes_a_million": 1591e6, "disk_bytes_a_million": 1592e6, "nDCG@10": 0.94},
        **{"recall@10": 1.0, "recall@100": 0.99, "milliseconds": {"p50": 1.5, "p95": 2}},
    }
    found = {
        **{"data": "nq", "split": "dev", "passages": 5000},
        **{"others": {"float32": side}, "ours": {"int8": side}},
    }
    lines = vectors_table(found).splitlines()
    assert lines[0] == "nq dev, 5,000 passages:"
    assert lines[-1] == "| int8 | 1,591 | 1,592 | 1.0000 | 0.9900 | 0.9400 | 1.50 | 2.00 |"


def test_profile_table() -> None:
    found = {
        "ours": {"query_ms": {"find": 10.0, "encode": 30.0}, "document_ms": {"encode": 5.0}},
        "others": {"transformers": {"encode_ms": {"query": 60.0, "document": 9.0}}},
        "operators": {"linear layers": 0.75, "other": 0.25},
        "roofline": {"gflops": 100.0, "peak_gflops": 400.0, "share": 0.25},
    }
    assert profile_table(found).splitlines()[2:] == [
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
        **{"dense_p50_milliseconds": 3.52, "hybrid_p50_milliseconds": 7.0},
    }
    assert growth_table({"ours": {"10000": side}}).splitlines()[2:] == [
        "| 10,000 | 5.3 | 0.0 | 0.39 | 36 | 104 | 59 | 0.14 | 3.5 | 7.0 |"
    ]
