"""What benchmarks found, as tables in Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "TABLES",
    "growth_table",
    "precision_table",
    "profile_table",
    "states_table",
    "vectors_table",
]

Found = Mapping[str, Any]


def states_table(found: Found) -> str:
    """What token states in the index cost and give, a row a format."""
    rows = []
    for name, side in {**found["others"], **found["ours"]}.items():
        kept = "bytes_a_passage" in side
        rows.append(
            (
                name,
                f"{side['bytes_a_passage']:,}" if kept else "",
                f"{side['ndcg_at_10']:.4f}",
                f"{round(side['score_change'], 3) + 0.0:+.3f}" if kept else "",  # no negative zero
                f"{side['milliseconds_a_query']:.1f}",
            )
        )
    headings = ("states", "bytes a passage", "nDCG@10", "score change", "milliseconds a query")
    alone = found["maxsim_milliseconds"].items()
    compared = ", ".join(f"{ms:.1f} with {int(n):,}" for n, ms in alone)
    return "\n\n".join(
        (
            f"{found['data']} {found['split']}, {found['questions']} questions:",
            _table(headings, rows),
            f"Milliseconds of MaxSim alone, by candidates, int8 without pooling: {compared}.",
        )
    )


def precision_table(found: Found) -> str:
    """Quality, bytes and seconds of each precision, and those of two models in the same."""
    base = found["ours"]["float32"]["seconds"]
    rows = [
        (
            name,
            f"{ours['bytes'] / 1e6:.1f}",
            f"{found['others'][name]['bytes'] / 1e6:.1f} ({found['ratios'][name]:.2f})",
            f"{ours['cosine']:.4f}",
            f"{ours['rerank_ndcg_10']:.4f}",
            f"{ours['read_f1']:.1f}",
            f"{ours['seconds'] / base:.2f}",
            f"{found['others'][name]['seconds'] / base:.2f}",
        )
        for name, ours in found["ours"].items()
    ]
    headings = (
        "dtype",
        "MB",
        "MB of two models (ours over theirs)",
        "cosine to float32",
        "nDCG@10, reranked",
        "F1 of reading",
        "time over float32",
        "of two models",
    )
    return _table(headings, rows)


def vectors_table(found: Found) -> str:
    """Bytes, recall and time of each form of vectors."""
    rows = [
        (
            name,
            f"{side['memory_bytes_a_million'] / 1e6:,.0f}",
            f"{side['disk_bytes_a_million'] / 1e6:,.0f}",
            f"{side['recall@10']:.4f}",
            f"{side['recall@100']:.4f}",
            f"{side['nDCG@10']:.4f}",
            f"{side['milliseconds']['p50']:.2f}",
            f"{side['milliseconds']['p95']:.2f}",
        )
        for name, side in {**found["others"], **found["ours"]}.items()
    ]
    headings = (
        "vectors",
        "MB in memory a million",
        "MB on disk a million",
        "recall@10",
        "recall@100",
        "nDCG@10",
        "p50 ms",
        "p95 ms",
    )
    told = f"{found['data']} {found['split']}, {found['passages']:,} passages:"
    return f"{told}\n\n{_table(headings, rows)}"


def growth_table(found: Found) -> str:
    """Time, memory and latency of an index at every size."""
    rows = [
        (
            f"{int(n):,}",
            *(f"{side[name]:.1f}" for name in ("store_seconds", "optimize_seconds")),
            f"{side['add_seconds']:.2f}",
            *(
                f"{side[name] / 1e6:.0f}"
                for name in ("index_memory_bytes", "index_resident_bytes", "disk_bytes")
            ),
            f"{side['open_seconds']:.2f}",
            *(f"{side[f'{mode}_p50_milliseconds']:.1f}" for mode in ("dense", "hybrid")),
        )
        for n, side in found["ours"].items()
    ]
    headings = (
        "passages",
        "storing, s",
        "graph, s",
        "1,000 more, s",
        "memory of indexing, MB",
        "with mapped files, MB",
        "disk, MB",
        "opening, s",
        "dense p50, ms",
        "hybrid p50, ms",
    )
    return _table(headings, rows)


def profile_table(found: Found) -> str:
    """Each stage of a query and a document, the operators of a batch, and the roofline."""
    plain = found["others"]["transformers"]["encode_ms"]
    rows = []
    for what in ("query", "document"):
        stages = found["ours"][f"{what}_ms"]
        total = sum(stages.values())
        for name, taken in stages.items():
            before = f"{plain[what]:.1f}" if name == "encode" else ""
            rows.append((f"{what}: {name}", f"{taken:.1f}", f"{taken / total:.0%}", before))
        rows.append((f"{what}, whole", f"{total:.1f}", "", ""))
    stages = _table(("stage", "ms", "share", "by transformers, ms"), rows)
    shares = ", ".join(f"{kind} {share:.0%}" for kind, share in found["operators"].items())
    roofline = found["roofline"]
    return "\n\n".join(
        (
            stages,
            f"One batch, by kind of operator: {shares}.",
            f"The query's forwards reach {roofline['gflops']:.0f} GFLOP/s, "
            f"{roofline['share']:.0%} of the {roofline['peak_gflops']:.0f} of a large product.",
        )
    )


TABLES = {
    "states": states_table,
    "precision": precision_table,
    "vectors": vectors_table,
    "profile": profile_table,
    "growth": growth_table,
}
"""Renderers by the benchmark's name."""


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    aligned = "|".join(["---", *["---:"] * (len(headings) - 1)])
    lines = [f"| {' | '.join(headings)} |", f"|{aligned}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
