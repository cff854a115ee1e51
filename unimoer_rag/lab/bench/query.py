"""One query in a large index on a CPU: search and reranking, against LlamaIndex with Qdrant."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.frameworks import LlamaIndexSearch, check_frameworks
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.rivals import random_cross_encoder
from unimoer_rag.lab.bench.texts import make_passages, make_queries
from unimoer_rag.lab.bench.timing import OnRun, percentiles, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import UniMoER
from unimoer_rag.retrieval import WHOLE, BM25Encoder, Passage, Record, UnifiedRetriever

__all__ = ["BENCH", "measure_query"]

_WARM_UP = 3
_BLOCK = 1000


def measure_query(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    passages: Annotated[int, typer.Option(help="Passages in the index.")] = 100_000,
    queries: Annotated[int, typer.Option(help="Measured queries; from 5.")] = 50,
    depth: Annotated[int, typer.Option(help="Passages reranked for each.")] = 50,
    k: int = 5,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Search and rerank in a large index on the CPU, against LlamaIndex with Qdrant.

    Both sides hold the same passages and vectors. The vectors are random directions: embedding a
    hundred thousand passages would take longer than all the rest and changes nothing in what a
    search costs. No passage's token states are kept from one query to the next.

    Returns:
        See `report`; `ratio` compares the medians, `ratio_p95` the 95th percentiles. `seen` is
        ours when the engine still has the token states of the passages.

    Raises:
        MissingExtraError: a package of the extra `rivals` is not installed.
        InputError: there are fewer passages than are to be reranked, or fewer queries than 5.
    """
    check_frameworks("the query benchmark")
    if passages < depth or queries < 5:
        raise InputError(
            f"passages and queries are {passages} and {queries}: expected at least {depth} and 5"
        )
    model = UniMoER.from_pretrained(checkpoint, device="cpu")
    texts = list(dict.fromkeys(make_passages(model.tokenizer, passages)))
    vectors = _directions(len(texts), model.dimension)
    asked = make_queries(model.tokenizer, queries + _WARM_UP)
    with tempfile.TemporaryDirectory() as scratch:
        on_run("building both indexes")
        cross_encoder = random_cross_encoder(model.path, Path(scratch) / "cross-encoder")
        theirs = LlamaIndexSearch(model.path, cross_encoder, texts, vectors, depth=depth, k=k)
        with UnifiedRetriever(
            model, index=Path(scratch) / "index", chunking=WHOLE, k=k, rerank=depth
        ) as ours:
            _fill(ours, texts, vectors)
            on_run("asking")
            seconds = _ask(ours, theirs, asked)
        theirs.close()
    latency = {name: percentiles(taken[_WARM_UP:]) for name, taken in seconds.items()}
    ours_latency, other = latency["ours"], latency["llama-index"]
    return report(
        "query",
        ratio=round(other["p50"] / ours_latency["p50"], 4),
        ratio_p95=round(other["p95"] / ours_latency["p95"], 4),
        checkpoint=checkpoint,
        passages=len(texts),
        queries=queries,
        depth=depth,
        ours={"milliseconds": ours_latency, "seen": latency["seen"]},
        others={"llama-index": {"milliseconds": other}},
    )


def _directions(n: int, dimension: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(0).standard_normal((n, dimension), dtype=np.float32)
    unit: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def _fill(retriever: UnifiedRetriever, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
    encoder = BM25Encoder()
    for at in range(0, len(texts), _BLOCK):
        retriever.store.upsert(
            Record(
                Passage(text=text, source=f"passage/{at + i}", end=len(text)),
                vector,
                encoder.document(text),
            )
            for i, (text, vector) in enumerate(
                zip(texts[at : at + _BLOCK], vectors[at : at + _BLOCK], strict=True)
            )
        )
    retriever.store.optimize()
    retriever.store.flush()


def _ask(
    ours: UnifiedRetriever, theirs: LlamaIndexSearch, asked: Sequence[str]
) -> dict[str, list[float]]:
    """Seconds of each query, by side, which take turns at being first."""
    seconds: dict[str, list[float]] = {"ours": [], "seen": [], "llama-index": []}

    def timed(name: str, search: Callable[[str], Any], query: str) -> None:
        started = time.perf_counter()
        search(query)
        seconds[name].append(time.perf_counter() - started)

    def both(query: str) -> None:
        ours.engine.cache.clear()
        timed("ours", ours.search, query)
        timed("seen", ours.search, query)

    for at, query in enumerate(asked):
        if at % 2:
            both(query)
            timed("llama-index", theirs.search, query)
        else:
            timed("llama-index", theirs.search, query)
            both(query)
    return seconds


def _table(found: Facts) -> Table:
    sides = {
        "ours": found["ours"]["milliseconds"],
        "ours, passages seen before": found["ours"]["seen"],
        **{name: side["milliseconds"] for name, side in found["others"].items()},
    }
    return Table(
        f"milliseconds a query in {found['passages']:,} passages",
        ("", "p50", "p95"),
        [(name, f"{of['p50']:.1f}", f"{of['p95']:.1f}") for name, of in sides.items()],
    )


BENCH = Bench(measure_query, _table, quick={"passages": 200, "queries": 5, "depth": 10})
