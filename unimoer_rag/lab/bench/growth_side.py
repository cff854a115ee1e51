"""One size of the growth benchmark, each half in a process of its own: index, or open and search.

python -m unimoer_rag.lab.bench.growth_side index '{"folder": ..., "passages": 10000, ...}'
python -m unimoer_rag.lab.bench.growth_side search '{"folder": ..., "queries": 50, ...}'

Passages are words drawn by Zipf's law, a document of ten at a time; vectors lie around centres, as
those of texts do. No model is loaded: what it takes grows with the texts and not with the index.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.lab.bench.process import own, peak, resident
from unimoer_rag.lab.bench.timing import percentiles
from unimoer_rag.retrieval import (
    AddReport,
    BM25Encoder,
    Document,
    EdgeStore,
    Embedded,
    Mode,
    Search,
    n_bytes_used,
    whole,
)
from unimoer_rag.retrieval.ingest import ingest

__all__ = ["ADDED", "main"]

ADDED = 1000
"""Passages added to the index of each size, in an `add` of their own."""

_BLOCK = 10_000
_DOCUMENT = 10  # passages
_CENTRES, _VOCABULARY, _WORDS, _QUERY_WORDS = 1000, 50_000, 60, 8
_WARM_UP, _FOUND = 3, 50


class _Drawn:
    """Texts and vectors from a seed."""

    def __init__(self, dimension: int, seed: str) -> None:
        self._choice = Random(seed)
        self._vocabulary = [f"w{number:x}" for number in range(_VOCABULARY)]
        self._zipf = list(accumulate(1 / rank for rank in range(1, _VOCABULARY + 1)))
        centres = np.random.default_rng(0)  # those of the queries are those of the passages
        self._centres = centres.standard_normal((_CENTRES, dimension), dtype=np.float32)
        self._drawn = np.random.default_rng(self._choice.randrange(2**32))

    def text(self, n_words: int) -> str:
        return " ".join(self._choice.choices(self._vocabulary, cum_weights=self._zipf, k=n_words))

    def documents(self, n: int, name: str) -> Iterator[Document]:
        for at in range(n):
            yield Document(f"{at} {self.text(_WORDS)}", source=f"{name}/{at // _DOCUMENT}")

    def vectors(self, n: int) -> NDArray[np.float32]:
        noise = self._drawn.standard_normal((n, self._centres.shape[1]), dtype=np.float32)
        near: NDArray[np.float32] = self._centres[self._drawn.integers(_CENTRES, size=n)] + noise
        return near

    def embed(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        return lambda: Embedded(self.vectors(len(texts)))


def _index(settings: dict[str, Any]) -> dict[str, Any]:
    folder, passages = Path(settings["folder"]), settings["passages"]
    drawn, blocks = _Drawn(settings["dimension"], "index"), _Blocks()
    libraries, before = resident(), own()
    with EdgeStore(
        folder, dimension=settings["dimension"], quantization=settings["quantization"]
    ) as store:

        def add(n: int, name: str, **more: Any) -> None:
            ingest(
                drawn.documents(n, name),
                whole,
                embed=drawn.embed,
                store=store,
                encoder=BM25Encoder(),
                report=AddReport(),
                **more,
            )

        add(passages, "first", on_progress=blocks)
        seconds = time.perf_counter() - blocks.started
        started = time.perf_counter()
        add(ADDED, "more")
        added = time.perf_counter() - started
    return {
        "store_seconds": round(blocks.stored, 3),
        "block_seconds": [round(block, 3) for block in blocks.seconds],
        "optimize_seconds": round(seconds - blocks.stored, 3),
        "add_seconds": round(added, 3),
        "graph": any(folder.rglob("graph.bin")),
        "resident_bytes": peak() - libraries,
        "own_bytes_before": before,
        "disk_bytes": n_bytes_used(folder),
    }


class _Blocks:
    """Told of progress, takes the seconds of each whole block of passages."""

    def __init__(self) -> None:
        self.started = self._begun = time.perf_counter()
        self.stored = 0.0  # seconds until the last passage was stored
        self.seconds: list[float] = []
        self._added = 0

    def __call__(self, report: AddReport) -> None:
        now = time.perf_counter()
        if report.added > self._added:
            self.stored = now - self.started
            self._added = report.added
        if report.added >= _BLOCK * (len(self.seconds) + 1):
            self.seconds.append(now - self._begun)
            self._begun = now


def _search(settings: dict[str, Any]) -> dict[str, Any]:
    drawn, libraries, before = _Drawn(settings["dimension"], "search"), resident(), own()
    started = time.perf_counter()
    with EdgeStore(Path(settings["folder"])) as store:
        opened = time.perf_counter() - started
        modes: tuple[Mode, ...] = ("dense", "hybrid")
        taken: dict[Mode, list[float]] = {mode: [] for mode in modes}
        for _ in range(settings["queries"] + _WARM_UP):
            query, vectors = drawn.text(_QUERY_WORDS), drawn.vectors(1)
            for mode in modes:
                plan = Search.plan([query], k=_FOUND, rerank=0, mode=mode, filters=None)
                begun = time.perf_counter()
                plan.find(vectors, store, BM25Encoder())
                taken[mode].append(time.perf_counter() - begun)
    return {
        "open_seconds": round(opened, 4),
        "resident_bytes": peak() - libraries,
        "own_bytes_before": before,
        **{
            f"{mode}_{point}_milliseconds": milliseconds
            for mode in modes
            for point, milliseconds in percentiles(taken[mode][_WARM_UP:], digits=2).items()
        },
    }


def main(part: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Measure one part of one size: "index" or "search"."""
    return {"index": _index, "search": _search}[part](settings)


if __name__ == "__main__":
    json.dump(main(sys.argv[1], json.loads(sys.argv[2])), sys.stdout)
