"""Quantized vectors: what is found, what is kept of the setting, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from store_contract import DIMENSION, RECORDS, StoreContract

from unimoer_rag.errors import IndexCorruptError, IndexMismatchError, InputError
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import EdgeStore, Quantization, Record, ServerStore, Store
from unimoer_rag.retrieval.store.folder import vector_bytes
from unimoer_rag.retrieval.types import Passage

LENGTH, N, ASKED, TOP = 64, 3000, 40, 10


class TestBinary(StoreContract):
    """All that any store does, on codes, with so many candidates that scores are exact."""

    @pytest.fixture
    def empty(self, tmp_path: Path) -> Iterator[Store]:
        with EdgeStore(
            tmp_path / "index", dimension=DIMENSION, quantization="binary", oversampling=1000
        ) as store:
            yield store


def clustered(n: int, seed: int) -> NDArray[np.float32]:
    centres = np.random.default_rng(0).normal(size=(50, LENGTH))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(50, size=n)] + rng.normal(size=(n, LENGTH))).astype(np.float32)


STORED, QUERIES = clustered(N, 1), clustered(ASKED, 2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Quantization | None, Path]:
    """An index of STORED, with a graph, in each quantization."""
    root = tmp_path_factory.mktemp("quantized")
    kinds: tuple[Quantization | None, ...] = (None, "int8", "binary")
    for kind in kinds:
        with EdgeStore(
            root / str(kind), dimension=LENGTH, quantization=kind, hnsw_from=500
        ) as store:
            store.upsert(
                Record(Passage(f"number {n}", "s.md", start=n), vector, SparseVector((), ()))
                for n, vector in enumerate(STORED)
            )
            store.optimize()
    return {kind: root / str(kind) for kind in kinds}


def recall(folder: Path, oversampling: float | None = None) -> float:
    """Against comparing all; every score must be the exact cosine, whatever the codes say."""
    unit = STORED / np.linalg.norm(STORED, axis=1, keepdims=True)
    cosines = QUERIES @ unit.T / np.linalg.norm(QUERIES, axis=1, keepdims=True)
    with EdgeStore(folder, oversampling=oversampling) as store:
        found = store.search_dense(QUERIES, limit=TOP)
    for row, items in zip(cosines, found, strict=True):
        exact = [row[item.passage.start] for item in items]
        assert [item.score for item in items] == pytest.approx(exact, abs=1e-5)
    return float(
        np.mean(
            [
                len({item.passage.start for item in items} & {*np.argsort(-row)[:TOP]}) / TOP
                for row, items in zip(cosines, found, strict=True)
            ]
        )
    )


@pytest.mark.slow
def test_rescoring_finds_what_comparing_all_finds(
    folders: dict[Quantization | None, Path],
) -> None:
    assert recall(folders["int8"]) >= 0.98
    assert recall(folders["binary"]) >= 0.9
    assert recall(folders["binary"], 20) >= 0.98


@pytest.mark.slow
def test_without_oversampling_the_codes_choose(folders: dict[Quantization | None, Path]) -> None:
    """So it is the codes that are searched: a bit a number loses many neighbours."""
    assert recall(folders["binary"], 1) < recall(folders["binary"]) - 0.1


def test_codes_are_beside_the_vectors(folders: dict[Quantization | None, Path]) -> None:
    used = {kind: vector_bytes(folder) for kind, folder in folders.items()}
    n_numbers = N * LENGTH
    for kind, least in ((None, 0), ("int8", n_numbers), ("binary", n_numbers / 8)):
        # Files begin small for passages to come.
        assert least <= used[kind]["codes"] <= least * 1.1 + 80_000
        assert used[kind]["vectors"] >= 4 * n_numbers
        assert used[kind]["graph"] > 0


@pytest.mark.parametrize("kind", ["int8", "binary"])
def test_an_index_knows_its_quantization(
    folders: dict[Quantization | None, Path], kind: Quantization
) -> None:
    with EdgeStore(folders[kind]) as store:
        assert store.quantization == kind
    EdgeStore(folders[kind], quantization=kind).close()
    other: Quantization = "int8" if kind == "binary" else "binary"
    with pytest.raises(IndexMismatchError, match=f"quantization {kind}, not {other}: leave"):
        EdgeStore(folders[kind], quantization=other)
    with pytest.raises(IndexMismatchError, match=f"quantization none, not {kind}"):
        EdgeStore(folders[None], quantization=kind)
    with EdgeStore(folders[None]) as store:
        assert store.quantization is None


def test_what_is_added_later_is_found(tmp_path: Path) -> None:
    """Codes are made for passages that come after the first graph, too."""
    with EdgeStore(
        tmp_path / "index", dimension=DIMENSION, quantization="int8", hnsw_from=3
    ) as store:
        store.upsert(RECORDS[:-1])
        store.optimize()
        store.upsert(RECORDS[-1:])
        [[best]] = store.search_dense(RECORDS[-1].dense[None], limit=1)
        assert best.passage == RECORDS[-1].passage


def test_the_manifest_of_an_index_without(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    EdgeStore(folder, dimension=DIMENSION).close()
    file = folder / "unimoer.json"
    kept = json.loads(file.read_text())
    del kept["quantization"]  # as it was before there was any
    file.write_text(json.dumps(kept))
    with EdgeStore(folder) as store:
        assert store.quantization is None
    file.write_text(json.dumps({**kept, "quantization": "int3"}))
    with pytest.raises(IndexCorruptError, match="unknown quantization 'int3'"):
        EdgeStore(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "int3"}, "unknown quantization 'int3': expected one of int8, binary"),
        ({"oversampling": 0.5}, "oversampling is 0.5: expected a number of at least 1"),
        ({"oversampling": float("inf")}, "oversampling is inf"),
        ({"oversampling": True}, "oversampling is True"),
    ],
)
def test_bad_settings_leave_no_folder(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        EdgeStore(tmp_path / "index", dimension=DIMENSION, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=message):
        ServerStore.memory(dimension=DIMENSION, **options)  # type: ignore[arg-type]


def test_in_memory_all_is_compared() -> None:
    with (
        ServerStore.memory(dimension=DIMENSION) as plain,
        ServerStore.memory(dimension=DIMENSION, quantization="binary", oversampling=1) as coded,
    ):
        assert (plain.quantization, coded.quantization) == (None, "binary")
        for store in (plain, coded):
            store.upsert(RECORDS)
        query = np.ones((1, DIMENSION), np.float32)
        assert coded.search_dense(query, limit=3) == plain.search_dense(query, limit=3)
