"""Where the time goes: a query and a document, stage by stage, and what the machine could do."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.cost import count_operations
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.roofline import measure_peak
from unimoer_rag.lab.bench.texts import make_passages, make_queries
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import Job, Row, UniMoER, embedding, load_own, ranking
from unimoer_rag.retrieval import BM25Encoder, Chunker, Chunking, Document, Record, UnifiedRetriever

__all__ = ["BENCH", "measure_profile"]

# Operators of torch by what they are for; what is in none of these is "other".
_KINDS = {
    "linear layers": ("linear", "addmm", "mm", "mkldnn_linear"),
    "attention": ("bmm", "baddbmm", "scaled_dot_product", "exp", "softmax", "aminmax"),
    "activations": ("gelu", "silu", "relu"),
    "norms": ("layer_norm", "native_layer_norm", "rms_norm"),
}

Stages = dict[str, list[float]]


def measure_profile(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    passages: Annotated[int, typer.Option(help="Passages in the index.")] = 1000,
    depth: Annotated[int, typer.Option(help="Passages reranked.")] = 50,
    words: int = 1200,
    repeats: Annotated[
        int, typer.Option(help="Queries and documents; from 3, the first is not counted.")
    ] = 9,
) -> dict[str, Any]:
    """Time the stages of a query and of a document on the CPU, and compare with the machine.

    Nothing is known before: no passage was reranked earlier, no document is there already. The
    forwards of both are also run as transformers alone would, for comparison: one batch after the
    other on all cores, with its own attention and linear layers.

    Returns:
        See `report`; `ratio` is the time of the query's forwards in transformers' way over ours.
        `query_ms` and `document_ms`: milliseconds of each stage. `operators`: shares of the time of
        one batch on one core. `roofline`: billions of operations a second of a large matrix product
        in the model's precision, of the forwards as a whole, and their share.

    Raises:
        InputError: there are too few repeats.
    """
    if repeats < 3:
        raise InputError(f"repeats is {repeats}: expected 3 or more, the first is not counted")
    plain = load_own(checkpoint, device="cpu")
    backbone: Any = plain.backbone
    backbone.set_attn_implementation("sdpa")
    query: Stages = {}
    document: Stages = {}
    plainly: Stages = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        UnifiedRetriever(checkpoint, index=Path(scratch) / "index", device="cpu") as retriever,
    ):
        model = retriever.model
        retriever.add(make_passages(model.tokenizer, passages))
        asked = make_queries(model.tokenizer, repeats)
        for at, text in enumerate(asked):
            retriever.engine.cache.clear()
            ranked = _query(retriever, text, depth, query)
            done = _document(retriever, _long_text(model, words, at), document)
            for name, rows in (("query", ranked), ("document", done)):
                with _timed(plainly, name):
                    plain.execute(Job(rows, len))
    query_ms, document_ms, plain_ms = map(_milliseconds, (query, document, plainly))
    return report(
        "profile",
        ratio=round(plain_ms["query"] / query_ms["encode"], 3),
        ratio_document=round(plain_ms["document"] / document_ms["encode"], 3),
        checkpoint=checkpoint,
        passages=passages,
        depth=depth,
        words=words,
        repeats=repeats,
        operators=_operators(model, ranked),
        roofline=_roofline(model, ranked, query_ms["encode"] / 1000),
        ours={"query_ms": query_ms, "document_ms": document_ms},
        others={"transformers": {"encode_ms": plain_ms}},
    )


def _query(retriever: UnifiedRetriever, text: str, depth: int, stages: Stages) -> list[Row]:
    """One query in stages; gives the rows of its reranking."""
    model, engine = retriever.model, retriever.engine
    with _timed(stages, "embed the query"):
        vectors = engine.submit(embedding(model, [text], "query")).result()
    with _timed(stages, "find"):
        [found] = retriever.store.search_dense(vectors, limit=depth)
    with _timed(stages, "tokenize"):
        job = ranking(model, text, [one.passage.content for one in found], logits=False)
    with _timed(stages, "encode"):
        outputs = engine.submit(Job(job.rows, list)).result()
    with _timed(stages, "compare"):
        job.finish(outputs)
    return job.rows


def _document(retriever: UnifiedRetriever, document: Document, stages: Stages) -> list[Row]:
    """One document in stages; gives the rows of its passages."""
    model, encoder = retriever.model, BM25Encoder()
    chunker = Chunker(model.tokenizer.backend_tokenizer, Chunking())
    with _timed(stages, "cut"):
        cut = chunker.split(document)
    with _timed(stages, "tokenize"):
        job = embedding(model, [passage.content for passage in cut], "document")
    with _timed(stages, "encode"):
        vectors = retriever.engine.submit(job).result()
    with _timed(stages, "BM25"):
        sparse = [encoder.document(passage.content) for passage in cut]
    with _timed(stages, "store"):
        retriever.store.upsert(map(Record, cut, vectors, sparse))
        retriever.store.flush()
    return job.rows


def _long_text(model: UniMoER, words: int, seed: int) -> Document:
    sentences = make_passages(model.tokenizer, words // 16, seed=seed + 1)
    text = " ".join(" ".join(sentences).split()[:words])
    return Document(text, source=f"document {seed}")


@contextmanager
def _timed(stages: Stages, name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    stages.setdefault(name, []).append(time.perf_counter() - started)


def _milliseconds(stages: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: round(1000 * median(taken[1:]), 2) for name, taken in stages.items()}


def _operators(model: UniMoER, rows: list[Row]) -> dict[str, float]:
    """Shares of the time of one batch, by kind of operator, on one core."""
    batch = sorted(rows, key=lambda row: len(row.ids))[-8:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model.run(batch)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            for _ in range(5):
                model.run(batch)
    finally:
        torch.set_num_threads(threads)
    spent: dict[str, float] = dict.fromkeys((*_KINDS, "other"), 0.0)
    for event in found.key_averages():
        spent[_kind(event.key)] += event.self_cpu_time_total
    total = sum(spent.values())
    return {kind: round(time_ / total, 3) for kind, time_ in spent.items()}


def _kind(operator: str) -> str:
    name = operator.rpartition("::")[2].lstrip("_")
    matches = (kind for kind, starts in _KINDS.items() if name.startswith(starts))
    return next(matches, "other")


def _roofline(model: UniMoER, rows: Iterable[Row], seconds: float) -> dict[str, float]:
    done = count_operations(model, [len(row.ids) for row in rows]) / seconds / 1e9
    peak = measure_peak(model.dtype, model.device) / 1e9
    return {"gflops": round(done, 1), "peak_gflops": round(peak, 1), "share": round(done / peak, 3)}


def _table(found: Facts) -> Table:
    plain = found["others"]["transformers"]["encode_ms"]
    rows = []
    for what in ("query", "document"):
        stages = found["ours"][f"{what}_ms"]
        total = sum(stages.values())
        for name, taken in stages.items():
            before = f"{plain[what]:.1f}" if name == "encode" else ""
            rows.append((f"{what}: {name}", f"{taken:.1f}", f"{taken / total:.0%}", before))
        rows.append((f"{what}, whole", f"{total:.1f}", "", ""))
    shares = ", ".join(f"{kind} {share:.0%}" for kind, share in found["operators"].items())
    roofline = found["roofline"]
    return Table(
        f"Medians of {found['repeats']} queries and documents",
        ("stage", "ms", "share", "by transformers, ms"),
        rows,
        [
            f"One batch, by kind of operator: {shares}.",
            f"The query's forwards reach {roofline['gflops']:.0f} GFLOP/s, "
            f"{roofline['share']:.0%} of the {roofline['peak_gflops']:.0f} of a large product.",
        ],
    )


BENCH = Bench(measure_profile, _table, quick={"passages": 24, "depth": 5, "repeats": 3})
