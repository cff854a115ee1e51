"""What benchmarks found, a row a measure: ours, what it is compared to, and their ratio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from unimoer_rag.lab.bench.decoder import ENCODE, RERANK, RERANK_SEEN
from unimoer_rag.lab.bench.timing import Seconds

__all__ = ["BENCH_ROWS", "render_benches"]


def render_benches(found: Mapping[str, Mapping[str, Any]]) -> str:
    """One row a measure, what it is compared to, and their ratio."""
    lines = ["| measure | unimoer-rag | compared to | ratio |", "|---|---:|---:|---:|"]
    for name, rows in BENCH_ROWS.items():
        if name in found:
            lines += [f"| {' | '.join(row)} |" for row in rows(found[name])]
    return "\n".join(lines)


_Row = tuple[str, str, str, str]
_Rows = Iterator[_Row]


def _row(what: str, shown: str, ours: float, other: float, ratio: float | None = None) -> _Row:
    """A measure, both sides' values as a format shows them, and their ratio."""
    told = "" if ratio is None else f"{ratio:.2f}"
    return what, shown.format(ours), shown.format(other), told


def _memory_rows(found: Mapping[str, Any]) -> _Rows:
    for side, models in (("pair", "two models"), ("three", "three models")):
        for measure, key in (("weights", "model_bytes"), ("process at its peak", "peak")):
            what = f"{measure}, {found['dtype']}, against {models}"
            ours, other = (each[key] for each in (found["ours"], found["others"][side]))
            yield _row(what, "{:.0f} MiB", ours / 2**20, other / 2**20, ours / other)


def _speed_rows(found: Mapping[str, Any]) -> _Rows:
    if found["bench"] == "encode":
        what = f"embedding {found['passages']:,} passages"
    else:
        what = f"reranking {found['depth']} passages for each of {found['queries']} queries"
    ours, others = found["ours"]["seconds"], found["others"]
    rounds = Seconds(found["seconds"])
    for name in dict.fromkeys(("default", found["best"])):
        against, ratio = f"{what}, against {_RIVALS[name]}", rounds.ratio(name, "ours")
        yield _row(against, "{:.2f} s", ours, others[name]["seconds"], ratio)
    if "ours_seen" in found:
        what = "the same with passages seen before, against the default"
        seen, theirs = found["ours_seen"]["seconds"], others["default"]["seconds"]
        yield what, f"{seen:.2f} s", f"{theirs:.2f} s", f"{found['ratio_seen']:.1f}"


def _overhead_rows(found: Mapping[str, Any]) -> _Rows:
    ours, bare = (side["seconds"] for side in (found["ours"], found["others"]["bare"]))
    for task, ratio in found["by_task"].items():
        what = f"time of the task `{task}`, against the bare backbone in the same engine"
        yield _row(what, "{:.2f} s", ours[task], bare[task], ratio)
    for task, ratio in found["merged"].items():
        yield f"the same of the task `{task}`, merged", "", "", f"{ratio:.2f}"


def _ingest_rows(found: Mapping[str, Any]) -> _Rows:
    ours, rounds = found["ours"]["passages_a_second"], Seconds(found["seconds"])
    for name, side in found["others"].items():
        what = f"passages a second into an index, against {_RIVALS[name]}"
        yield _row(what, "{:.0f}", ours, side["passages_a_second"], rounds.ratio(name, "ours"))


def _query_rows(found: Mapping[str, Any]) -> _Rows:
    sides = (found["ours"], found["others"]["llama-index"])
    where = f"a query in {found['passages']:,} passages, {found['depth']} reranked"
    for percentile in ("p50", "p95"):
        ours, other = (side["milliseconds"][percentile] for side in sides)
        yield _row(f"{where}, {percentile}, against LlamaIndex", "{:.0f} ms", ours, other,
                   other / ours)  # fmt: skip


def _concurrency_rows(found: Mapping[str, Any]) -> _Rows:
    calls, offline = found["calls"], found["others"]["offline"]["seconds"]
    for n, side in found["ours"].items():
        what = f"calls a second, clients: {n}, against the same calls in one batch"
        rates = (calls / side["seconds"], calls / offline)
        yield _row(what, "{:.0f}", *rates, found["throughput"][n])
    latency = {n: side["latency_ms"]["p95"] for n, side in found["ours"].items()}
    first, *others = latency
    for n in others:
        what = f"p95 latency, clients: {n}, against {first}"
        yield _row(what, "{:.0f} ms", latency[n], latency[first], found["p95_ratio"][n])


def _stress_rows(found: Mapping[str, Any]) -> _Rows:
    together, alone = (
        found["calls"] / side["seconds"] for side in (found["ours"], found["others"]["one by one"])
    )
    who = f"{found['threads']} threads and {found['coroutines']} coroutines"
    what = f"calls a second of {who}, against one by one"
    yield _row(what, "{:.1f}", together, alone, found["ratio"])
    yield f"wrong answers among their {found['calls']:,}", str(found["wrong"]), "", ""


def _serve_rows(found: Mapping[str, Any]) -> _Rows:
    for part, ratios in found["ratios"].items():
        sides = {**found["ours"][part], **found["others"][part]}
        what = "embedding" if part == "embed" else f"reranking {found['depth']} passages"
        for key, ratio in ratios.items():
            who, n = key.split("/")
            if who == "ours":
                continue
            rates = (sides[f"ours/{n}"]["texts_a_second"], sides[key]["texts_a_second"])
            told = f"{what} over HTTP, texts a second, clients: {n}, against {_SERVERS[who]}"
            yield _row(told, "{:.0f}", *rates, ratio)


def _soak_rows(found: Mapping[str, Any]) -> _Rows:
    ours = found["ours"]
    who = f"{found['clients']} clients over HTTP, {ours['seconds']:g} s, a third of requests left"
    yield f"{who}: wrong among {ours['answered']:,} answers", str(found["wrong"]), "", ""
    first, last = (ours["own_bytes_quarters"][at] / 2**20 for at in (1, 4))
    yield _row(
        f"{who}: memory at the end, after a quarter", "{:.0f} MiB", last, first, found["ratio"]
    )


def _decoder_rows(found: Mapping[str, Any]) -> _Rows:
    ours, others = found["ours"], found["others"]
    where = "" if found["device"] == "cpu" else f" on {found['machine']['accelerator']}"
    who = f"a decoder of {found['parameters'] / 1e6:,.0f} million parameters{where}"
    mine, best, loop = ours[ENCODE], others[found["best"]], others[found["best_rerank"]]
    what = f"{who}: embedding {found['passages']:,} passages, against sentence-transformers"
    yield _row(what, "{:.2f} s", mine["seconds"], best["seconds"], found["ratio_to_best"])
    what = f"{who}: share of the speed of a large product, embedding"
    yield _row(what, "{:.0%}", mine["utilisation"], best["utilisation"])
    for name, told, ratio in (
        (RERANK, "", found["ratio_rerank"]),
        (RERANK_SEEN, " seen before", found["ratio_rerank_seen"]),
    ):
        what = f"{who}: reranking {found['documents']} documents{told}, against transformers"
        own, other = (side["milliseconds_a_query"] for side in (ours[name], loop))
        yield _row(what, "{:.0f} ms", own, other, ratio)


_RIVALS = {
    "default": "sentence-transformers",
    "bfloat16": "the same in bfloat16",
    "onnx": "the same by ONNX Runtime",
    "onnx-fused": "ONNX Runtime, fused",
    "onnx-int8": "ONNX Runtime, int8",
    "openvino": "OpenVINO",
    "llama-index": "LlamaIndex",
    "langchain": "LangChain",
}

_SERVERS = {
    "plain": "sentence-transformers behind FastAPI",
    "infinity": "infinity",
    "engine": "our engine without HTTP",
    "ours, seen": "ours with the passages seen before",
}

BENCH_ROWS: Mapping[str, Callable[[Mapping[str, Any]], _Rows]] = {
    "memory": _memory_rows,
    "encode": _speed_rows,
    "rerank": _speed_rows,
    "query": _query_rows,
    "ingest": _ingest_rows,
    "overhead": _overhead_rows,
    "concurrency": _concurrency_rows,
    "stress": _stress_rows,
    "serve": _serve_rows,
    "soak": _soak_rows,
    "decoder": _decoder_rows,
    "decoder-cuda": _decoder_rows,
}
"""The rows of a benchmark's JSON, by its name."""
