"""An index folder: telling it from other folders, making it, and opening it only when whole."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import qdrant_edge as edge

from unimoer_rag.errors import IndexCorruptError, InputError, StoreError
from unimoer_rag.retrieval.store import base
from unimoer_rag.retrieval.store.checksums import (
    OPENING_BYTES,
    Checksums,
    damaged,
    remove_checksums,
)
from unimoer_rag.retrieval.store.engine import (
    DELETE_BYTES,
    check_space,
    engine_errors,
    load_errors,
)
from unimoer_rag.retrieval.store.lock import LOCK_NAME
from unimoer_rag.retrieval.store.log import check_log, forget_probe, renew_log
from unimoer_rag.retrieval.store.manifest import (
    Manifest,
    is_index,
    is_leftover,
    read_manifest,
    write_manifest,
)
from unimoer_rag.retrieval.store.quantization import Quantization, agree_quantization

__all__ = ["check_folder", "count_all", "n_bytes_used", "open_shard", "vector_bytes"]

_SHARD = "shard"
_LOG = f"{_SHARD}/wal/"
_UNFLUSHED_BYTES = 4 << 20  # taken to be left of the log: most of it was applied before the kill


def check_folder(path: Path, dimension: base.Dimension) -> None:
    """Refuse what is not an index before a lock or anything else is put there; make the folder.

    Raises:
        InputError: there is no index and no dimension to make one, or other files are there.
        IndexCorruptError: an index has lost its manifest.
        StoreError: the folder cannot be read or made.
    """
    if is_index(path):
        return
    if (path / _SHARD).is_dir():
        read_manifest(path)  # raises: what is left of an index
    if path.exists() and not path.is_dir():
        raise InputError(f"index {str(path)!r} is a file; give a folder")
    try:
        names = sorted(file.name for file in path.iterdir()) if path.exists() else []
        others = [name for name in names if name != LOCK_NAME and not is_leftover(name)]
        if others:
            raise InputError(
                f"{str(path)!r} is not an index: it holds other files ({others[0]!r}); give a new "
                "or empty folder"
            )
        if dimension is None:
            raise InputError(
                f"there is no index at {str(path)!r}; index some documents into it first"
            )
        for length in base.lengths(dimension):
            if length:  # 0: an index without dense vectors
                base.check_dimension(length)
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"index {str(path)!r} cannot be made: {error}; choose a folder that can be written"
        ) from error


class Opened(NamedTuple):
    """An index that was loaded or made.

    Attributes:
        shard: the engine.
        config: what it was loaded with.
        manifest: what the index was built with.
        proven: whether the engine's log is known to be whole.
    """

    shard: edge.EdgeShard
    config: edge.EdgeConfig
    manifest: Manifest
    proven: bool


def open_shard(
    path: Path,
    files: Path,
    dimension: base.Dimension,
    quantization: Quantization | None,
    hnsw_from: int,
) -> Opened:
    """Load the folder's shard, or make it where there is none yet; the lock must be held.

    Args:
        path: the index, for messages.
        files: where its files are: there, or in a copy.
        dimension: see `EdgeStore`.
        quantization: see `EdgeStore`.
        hnsw_from: see `EdgeStore`.
    """
    if is_index(files) or dimension is None:
        manifest = read_manifest(files)
    else:
        manifest = Manifest(dimension=base.lengths(dimension)[0], quantization=quantization)
    where = f"index {str(path)!r}"
    base.agree_dimension(manifest.dimension, dimension, where=where)
    agree_quantization(manifest.quantization, quantization, where=where)
    config = _config(manifest, hnsw_from)
    if manifest.ready:
        return _load(path, files, config, manifest)
    return _create(path, files, config, manifest)


def _create(path: Path, files: Path, config: edge.EdgeConfig, manifest: Manifest) -> Opened:
    folder = files / _SHARD
    check_space(files, 0)
    with engine_errors(path):
        # Not ready yet, so nothing was ever stored: what an interrupted start left can go.
        write_manifest(files, manifest)
        remove_checksums(files)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shard = edge.EdgeShard.create(str(folder), config)
        # Deletes and counts by source are as common as searches.
        shard.update(
            edge.UpdateOperation.create_field_index("source", edge.PayloadSchemaType.Keyword)
        )
        shard.flush()
        manifest = replace(manifest, ready=True)
        write_manifest(files, manifest)
    return Opened(shard, config, manifest, proven=True)


def _load(path: Path, files: Path, config: edge.EdgeConfig, manifest: Manifest) -> Opened:
    checksums, interrupted = Checksums.read(files), manifest.passages is None
    if checksums is not None and not _check_files(path, files, checksums):
        checksums = None
    if interrupted:  # loading writes what the log says; else it writes nothing that is new
        log = sum(_on_disk(file) for file in (files / _SHARD / "wal").glob("*"))
        check_space(files, min(log, _UNFLUSHED_BYTES), reserve=DELETE_BYTES)
    with load_errors(path):
        shard = edge.EdgeShard.load(str(files / _SHARD), config)
        try:
            forget_probe(shard)
            if interrupted:
                check_log(path, files, shard, interrupted=True)
            _check_counts(path, shard, manifest)
        except BaseException:
            shard.close()
            raise
    return Opened(shard, config, manifest, proven=interrupted or checksums is not None)


def _check_files(path: Path, files: Path, checksums: Checksums) -> bool:
    """Compare the files with their checksums; whether these hold after the engine has loaded."""
    wrong = checksums.differences(files, n_bytes=OPENING_BYTES)
    lost = {name for name in wrong if name.startswith(_LOG) and not (files / name).exists()}
    if wrong.keys() > lost:
        raise damaged(path, [text for name, text in wrong.items() if name not in lost])
    if lost:
        remove_checksums(files)
        renew_log(path, files)
    elif not checksums.same_engine:  # another engine may bring the files into another form
        remove_checksums(files)
    return not lost and checksums.same_engine


def _check_counts(path: Path, shard: edge.EdgeShard, manifest: Manifest) -> None:
    # The engine opens some damaged segments as empty ones.
    n_passages = count_all(shard)
    kind = base.DENSE if manifest.dimension else base.SPARSE
    has_vector = edge.Filter(must=[edge.HasVectorCondition(kind)])
    n_vectors = shard.count(edge.CountRequest(filter=has_vector))
    expected = n_passages if manifest.passages is None else manifest.passages
    if not n_vectors == n_passages == expected:
        raise IndexCorruptError(
            f"index {str(path)!r} holds {n_passages} passages with {n_vectors} vectors where "
            f"{expected} were stored: files are missing or damaged; restore it from a copy, or "
            "delete the folder and index the documents again"
        )


def _config(manifest: Manifest, hnsw_from: int) -> edge.EdgeConfig:
    threshold_kib = max(1, hnsw_from * manifest.dimension * 4 // 1024)
    return edge.EdgeConfig(
        vectors={base.DENSE: _dense(manifest)} if manifest.dimension else {},
        sparse_vectors={base.SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        # A filter that leaves less than full_scan_threshold is answered by comparing all.
        hnsw_config=edge.HnswIndexConfig(
            m=16, ef_construct=128, full_scan_threshold=min(10_000, threshold_kib)
        ),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=threshold_kib),
    )


def _dense(manifest: Manifest) -> edge.EdgeVectorParams:
    codes = {
        None: None,
        "int8": edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=edge.Memory.Pinned),
        "binary": edge.BinaryQuantizationConfig(
            query_encoding=edge.BinaryQuantizationQueryEncoding.Scalar8Bits,
            memory=edge.Memory.Pinned,
        ),
    }[manifest.quantization]
    return edge.EdgeVectorParams(
        manifest.dimension,
        edge.Distance.Cosine,
        quantization_config=codes,
        memory=edge.Memory.Cold if codes else edge.Memory.Cached,
    )


def count_all(shard: edge.EdgeShard) -> int:
    """How many passages there are, at once: the engine's own count goes through all of them."""
    return int(shard.info().points_count)


def n_bytes_used(path: Path) -> int:
    """Bytes the index takes on disk; its files are sparse and look larger than that."""
    return sum(_on_disk(file) for file in (path / _SHARD).rglob("*"))


def vector_bytes(path: Path) -> dict[str, int]:
    """Bytes on disk of the dense vectors, of their codes and of their graph."""
    used = {"vectors": 0, "codes": 0, "graph": 0}
    for folder in (path / _SHARD / "segments").glob(f"*/vector_*-{base.DENSE}"):
        for file in folder.rglob("*"):
            inside = file.relative_to(folder).parts[0]
            kind = "codes" if inside.startswith("quantized") else "vectors"
            used["graph" if folder.name.startswith("vector_index") else kind] += _on_disk(file)
    return used


def _on_disk(file: Path) -> int:
    return 512 * file.stat().st_blocks if file.is_file() else 0
