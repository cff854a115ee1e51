"""Vectors in fewer bits and numbers: what they save, what they find, how long they take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.data import BeirDataset, load_beir
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation import evaluate_run
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.timing import OnRun, percentiles, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import UniMoER
from unimoer_rag.retrieval import (
    EdgeStore,
    Found,
    Passage,
    Quantization,
    Record,
    SparseVector,
    vector_bytes,
)

__all__ = ["BENCH", "measure_vectors"]

_DEPTHS = (10, 100)
_BASE = "float32"
_ByDepth = dict[int, list[list[Found]]]


@dataclass(frozen=True, slots=True)
class _Setting:
    """How an index holds its vectors. Oversampling None is the default of the quantization."""

    dimension: int
    quantization: Quantization | None = None
    oversampling: float | None = None

    def name(self, whole: int) -> str:
        parts = [self.quantization or _BASE]
        if self.dimension < whole:
            parts.append(f"{self.dimension} dimensions")
        if self.oversampling == 1:
            parts.append("no oversampling")
        return ", ".join(parts)


def measure_vectors(
    data: Annotated[Path, typer.Option(help="A data set in the BEIR layout.")],
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    split: Annotated[
        str | None, typer.Option(help="Its questions; test, or the only split, if not given.")
    ] = None,
    passages: Annotated[
        int, typer.Option(help="Passages indexed: those that are relevant first.")
    ] = 5000,
    queries: Annotated[int, typer.Option(help="Questions asked, drawn at random.")] = 200,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Measure bytes, recall and latency of quantized and shorter vectors against float32.

    Settings are float32, int8 and binary, the last two also without oversampling, at every size of
    embeddings the checkpoint was trained for. All have a graph and codes, as an index of 50,000
    passages has. They are asked in turns, each question on its own.

    Returns:
        See `report`; `others` is float32, whole. Memory is what a search needs there (codes, or
        vectors where there are none, and the graph), disk all of these, both scaled to a million
        passages. Recall is against comparing all whole float32 vectors; latency is that of a
        search for 100. `ratio` is the memory of binary vectors over that of float32.

    Raises:
        DataError: the data set cannot be read.
        InputError: there are fewer than 100 passages, or no questions.
        MissingExtraError: the extra `eval` is not installed.
    """
    if passages < max(_DEPTHS):
        raise InputError(f"passages is {passages}: expected at least {max(_DEPTHS)}")
    model = UniMoER.from_pretrained(checkpoint, device="cpu")
    dataset = load_beir(data, split).limit(queries)
    ids = _chosen(dataset, passages)
    on_run(f"embedding {len(ids):,} passages")
    engine = Engine.of(model)
    asked = engine.embed([q.text for q in dataset.questions], "query")
    stored = engine.embed([dataset.content(doc_id) for doc_id in ids])
    nearest = np.argsort(-asked @ stored.T, axis=1, kind="stable")[:, : max(_DEPTHS)]
    settings = _settings(model)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as opened:
        stores = {}
        for at, setting in enumerate(settings):
            name = setting.name(model.dimension)
            on_run(f"indexing {name}")
            stores[name] = opened.enter_context(_open(Path(scratch) / str(at), setting))
            _fill(stores[name], ids, _cut(stored, setting.dimension))
        on_run("asking")
        found, seconds = _ask(stores, asked)
        sides: dict[str, dict[str, Any]] = {
            name: {
                **_bytes(store, len(ids)),
                **_quality(found[name], dataset, ids, nearest),
                "milliseconds": percentiles(seconds[name], digits=2),
            }
            for name, store in stores.items()
        }
    base = sides.pop(_BASE)
    binary, exact = sides["binary"]["memory_bytes_a_million"], base["memory_bytes_a_million"]
    return report(
        "vectors",
        ratio=round(binary / exact, 4),
        data=dataset.name,
        split=dataset.split,
        checkpoint=checkpoint,
        passages=len(ids),
        queries=len(dataset.questions),
        ours=sides,
        others={_BASE: base},
    )


def _settings(model: UniMoER) -> list[_Setting]:
    lengths = sorted({model.dimension, *model.task("embed").dimensions}, reverse=True)
    return [
        setting
        for length in lengths
        for setting in (
            _Setting(length),
            _Setting(length, "int8"),
            _Setting(length, "int8", 1.0),
            _Setting(length, "binary"),
            _Setting(length, "binary", 1.0),
        )
    ]


def _chosen(dataset: BeirDataset, n: int) -> list[str]:
    relevant = [
        doc_id
        for question in dataset.questions
        for doc_id, grade in dataset.qrels.get(question.id, {}).items()
        if grade > 0 and doc_id in dataset.corpus
    ]
    wanted = dict.fromkeys(islice(dict.fromkeys(relevant), n))
    for doc_id in dataset.corpus:
        if len(wanted) >= n:
            break
        wanted[doc_id] = None
    if len(wanted) < max(_DEPTHS):
        raise InputError(
            f"{dataset.name} has {len(wanted)} passages: expected at least {max(_DEPTHS)}"
        )
    return list(wanted)


def _cut(vectors: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    short = vectors[:, :length]
    unit: NDArray[np.float32] = short / np.linalg.norm(short, axis=1, keepdims=True)
    return unit


def _open(folder: Path, setting: _Setting) -> EdgeStore:
    return EdgeStore(
        folder,
        dimension=setting.dimension,
        quantization=setting.quantization,
        oversampling=setting.oversampling,
        hnsw_from=1,
    )


def _fill(store: EdgeStore, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
    store.upsert(
        Record(Passage(text="", source=doc_id), vector, SparseVector((), ()))
        for doc_id, vector in zip(ids, vectors, strict=True)
    )
    store.optimize()
    store.flush()


def _ask(
    stores: dict[str, EdgeStore], asked: NDArray[np.float32]
) -> tuple[dict[str, _ByDepth], dict[str, list[float]]]:
    """What each store finds at every depth, and its seconds at the last one."""
    found: dict[str, _ByDepth] = {name: {depth: [] for depth in _DEPTHS} for name in stores}
    seconds: dict[str, list[float]] = {name: [] for name in stores}
    names = list(stores)
    for vector in asked:
        names.reverse()
        for name in names:
            cut = _cut(vector[None], stores[name].dimension)
            for depth in _DEPTHS:
                started = time.perf_counter()
                found[name][depth] += stores[name].search_dense(cut, limit=depth)
                taken = time.perf_counter() - started
            seconds[name].append(taken)
    return found, seconds


def _bytes(store: EdgeStore, n: int) -> dict[str, int]:
    used = vector_bytes(store.path)
    memory = used["graph"] + (used["codes"] if store.quantization else used["vectors"])
    return {
        "memory_bytes_a_million": round(memory * 1_000_000 / n),
        "disk_bytes_a_million": round(sum(used.values()) * 1_000_000 / n),
    }


def _quality(
    found: _ByDepth,
    dataset: BeirDataset,
    ids: Sequence[str],
    nearest: NDArray[np.int64],
) -> dict[str, float]:
    quality = {}
    for depth in _DEPTHS:
        shares = [
            len({item.passage.source for item in items} & {ids[at] for at in best[:depth]}) / depth
            for items, best in zip(found[depth], nearest, strict=True)
        ]
        quality[f"recall@{depth}"] = round(float(np.mean(shares)), 4)
    # A question's own document takes no place among the ten: then they are those of a longer list.
    listed = found[max(_DEPTHS) if dataset.own_documents else 10]
    run = {
        question.id: dataset.without_own(
            question.id, {item.passage.source: item.score for item in items}
        )
        for question, items in zip(dataset.questions, listed, strict=True)
    }
    means = evaluate_run(dataset.qrels, run, relevance_level=dataset.relevance_level)
    return quality | {"nDCG@10": round(means["nDCG@10"], 4)}


def _table(found: Facts) -> Table:
    return Table(
        f"{found['data']} {found['split']}, {found['passages']:,} passages, "
        f"{found['queries']} questions",
        (
            "vectors",
            "MB in memory a million",
            "MB on disk a million",
            "recall@10",
            "recall@100",
            "nDCG@10",
            "p50 ms",
            "p95 ms",
        ),
        [
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
        ],
    )


BENCH = Bench(measure_vectors, _table, quick={"passages": 500, "queries": 20})
