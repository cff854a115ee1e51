from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_contract import DIMENSION, ENCODER, RECORDS, StoreContract

from unimoer_rag.errors import (
    IndexCorruptError,
    IndexLockedError,
    IndexMismatchError,
    InputError,
    StoreError,
)
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import EdgeStore, Record, Store, is_index
from unimoer_rag.retrieval.types import Passage


class TestEdge(StoreContract):
    @pytest.fixture
    def empty(self, tmp_path: Path) -> Iterator[Store]:
        with EdgeStore(tmp_path / "index", dimension=8) as store:
            yield store


QUERY = np.ones((1, DIMENSION), np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed index of RECORDS with an identity."""
    with EdgeStore(tmp_path / "index", dimension=DIMENSION) as store:
        store.upsert(RECORDS)
        store.set_identity({"checkpoint": "abc"})
    return tmp_path / "index"


def test_a_reopened_index_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "index"
    assert not is_index(path)
    with EdgeStore(path, dimension=DIMENSION) as store:
        store.upsert([replace(record, states=b"token states") for record in RECORDS])
        store.set_identity({"checkpoint": "abc"})
        dense = store.search_dense(QUERY, limit=9)
        sparse = store.search_sparse([ENCODER.query("refunds")], limit=9)
    assert is_index(path)
    with EdgeStore(path) as store:  # the dimension is the index's own
        assert store.dimension == DIMENSION
        assert store.identity() == {"checkpoint": "abc"}
        ids = [record.passage.id for record in RECORDS]
        assert store.states(ids) == dict.fromkeys(ids, b"token states")
        assert store.search_dense(QUERY, limit=9) == dense
        assert store.search_sparse([ENCODER.query("refunds")], limit=9) == sparse


@pytest.mark.slow
def test_hnsw_finds_what_comparing_all_finds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 32)).astype(np.float32)
    path = tmp_path / "index"
    with EdgeStore(path, dimension=32, hnsw_from=500) as store:
        store.upsert(
            Record(Passage(f"number {n}", "s.md", start=n), vector, SparseVector((), ()))
            for n, vector in enumerate(vectors)
        )
        before = store.search_dense(vectors[:20], limit=10)
        store.optimize()
        assert list(path.rglob("graph.bin"))  # a graph was built
        after = store.search_dense(vectors[:20], limit=10)
        store.upsert([Record(Passage("late", "late.md"), -vectors[0], SparseVector((), ()))])
    with EdgeStore(path) as store:
        reopened = store.search_dense(vectors[:20], limit=10)
        [[late]] = store.search_dense(-vectors[:1], limit=1)
        assert late.passage.source == "late.md"
        assert store.delete(filters={"source": "s.md"}) == 3000
        assert store.count() == 1
    for found in (after, reopened):
        hits = sum(
            len({f.passage.id for f in a} & {f.passage.id for f in b})
            for a, b in zip(before, found, strict=True)
        )
        assert hits >= 0.97 * 200


@pytest.mark.slow
def test_the_count_follows_every_change(tmp_path: Path) -> None:
    """It is the engine's own tally: passages that moved between segments must count once."""
    rng = np.random.default_rng(0)
    records = [
        Record(Passage(f"number {n}", "s.md", start=n), vector, SparseVector((), ()))
        for n, vector in enumerate(rng.normal(size=(400, 8)).astype(np.float32))
    ]
    held: set[str] = set()
    with EdgeStore(tmp_path / "index", dimension=8, hnsw_from=100) as store:
        for step in range(30):
            some = [records[at] for at in rng.choice(400, size=80, replace=False)]
            ids = {record.passage.id for record in some}
            if step % 3 == 2:
                assert store.delete(ids) == len(ids & held)
                held -= ids
            else:
                store.upsert(some)
                held |= ids
            if step % 5 == 4:
                store.optimize()
            assert store.count() == len(held) == len(list(store.scroll()))


# Who may open what


def test_an_index_has_one_holder(folder: Path) -> None:
    with EdgeStore(folder), pytest.raises(IndexLockedError, match=r"index'.*in use.*close"):
        EdgeStore(folder)
    EdgeStore(folder).close()


@pytest.mark.slow
def test_another_process_is_locked_out(folder: Path) -> None:
    code = "import sys; from unimoer_rag.retrieval.store import EdgeStore; EdgeStore(sys.argv[1])"
    with EdgeStore(folder):
        other = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
        )
    assert other.returncode == 1
    assert "IndexLockedError" in other.stderr


def test_a_store_may_be_closed_by_another_thread(folder: Path) -> None:
    store = EdgeStore(folder)
    thread = threading.Thread(target=store.close)
    thread.start()
    thread.join()
    EdgeStore(folder).close()


def test_an_index_without_dense_vectors_searches_by_words_alone(
    folder: Path, tmp_path: Path
) -> None:
    bare = [replace(record, dense=np.zeros(0, np.float32)) for record in RECORDS]
    queries = [ENCODER.query("refunds"), ENCODER.query("working hours")]
    with EdgeStore(tmp_path / "bare", dimension=0) as store:
        store.upsert(bare)
        store.optimize()
    with EdgeStore(tmp_path / "bare") as store, EdgeStore(folder) as whole:
        assert (store.dimension, store.count()) == (0, len(RECORDS))
        assert store.search_sparse(queries, limit=9) == whole.search_sparse(queries, limit=9)
        with pytest.raises(InputError, match=r"no dense vectors.*'sparse'"):
            store.search_dense(np.zeros((1, 0), np.float32), limit=9)
        with pytest.raises(InputError, match="holds vectors of 0"):
            store.upsert(RECORDS)
    with pytest.raises(IndexMismatchError, match="vectors of 0, the model gives 8"):
        EdgeStore(tmp_path / "bare", dimension=DIMENSION)


def test_another_dimension_is_refused(folder: Path) -> None:
    with pytest.raises(
        IndexMismatchError, match=r"vectors of 8, the model gives 9.*into a new index"
    ):
        EdgeStore(folder, dimension=9)
    EdgeStore(folder, dimension=8).close()


def test_no_index_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no index at"):
            EdgeStore(path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="dimension is -1"):
        EdgeStore(tmp_path / "absent", dimension=-1)


def test_other_peoples_folders_stay_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"not an index.*'thesis.txt'"):
        EdgeStore(tmp_path, dimension=8)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="is a file"):
        EdgeStore(tmp_path / "thesis.txt", dimension=8)


def test_a_folder_cannot_be_made_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        EdgeStore(tmp_path / "file" / "index", dimension=8)


# Damage


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "unimoer.json").unlink(),
        lambda folder: (folder / "unimoer.json").write_text('{"format": "unimoer-index", "ver'),
        lambda folder: (folder / "unimoer.json").write_text("[]"),
        lambda folder: _edit(folder, version=99),
        lambda folder: _edit(folder, dimension="8"),
        lambda folder: shutil.rmtree(folder / "shard"),
        lambda folder: _only(folder, "segment.json").unlink(),
        lambda folder: _only(folder, "edge_config.json").write_text("{"),
        lambda folder: _only(folder, "payload_storage/tracker.dat").write_bytes(b""),
        lambda folder: _only(folder, "wal/open-1").write_bytes(b"\xff" * 100),
        # The engine opens these without a word, with vectors or passages missing.
        lambda folder: _only(folder, "vectors/status.dat").unlink(),
        lambda folder: _edit(folder, passages=len(RECORDS) + 1),
    ],
)
def test_damage_is_told_from_an_index(folder: Path, damage: Callable[[Path], object]) -> None:
    damage(folder)
    with pytest.raises(IndexCorruptError, match="index the documents again"):
        EdgeStore(folder, dimension=DIMENSION)
    with pytest.raises(IndexCorruptError):  # and the lock was let go
        EdgeStore(folder)


@pytest.mark.parametrize("lost", ["segments", "mutable_id_tracker.mappings"])
def test_what_the_log_still_holds_is_restored(folder: Path, lost: str) -> None:
    (folder / "checksums.json").unlink()  # as a kill would have it: the log alone says what is
    path = _only(folder, lost)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with EdgeStore(folder) as store:
        assert store.get([r.passage.id for r in RECORDS]) == [r.passage for r in RECORDS]


def _only(folder: Path, end: str) -> Path:
    [file] = [file for file in folder.rglob("*") if file.as_posix().endswith(end)]
    return file


def _edit(folder: Path, **changes: object) -> None:
    file = folder / "unimoer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_an_interrupted_start_is_started_again(tmp_path: Path) -> None:
    path = tmp_path / "index"
    EdgeStore(path, dimension=DIMENSION).close()
    _edit(path, ready=False)
    _only(path, "edge_config.json").write_text("half")
    with EdgeStore(path, dimension=DIMENSION) as store:
        store.upsert(RECORDS)
        assert store.count() == len(RECORDS)


# Death and full disks

WRITER = """
import sys
import numpy as np
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import EdgeStore, Record
from unimoer_rag.retrieval.types import Passage

store, vector = EdgeStore(sys.argv[1], dimension=64), np.ones(64, np.float32)
for batch in range(1_000_000):
    store.upsert(
        Record(Passage("word " * 300, "s.md", start=n), vector, SparseVector((n,), (1.0,)))
        for n in range(32 * batch, 32 * batch + 32)
    )
    if batch % 5 == 4:
        store.flush()
    print(32 * batch + 32, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_it_was_told_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "index"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 640:
                break
        writer.kill()  # SIGKILL, most likely in the middle of a batch
        told = [int(line), *map(int, writer.stdout.read().split())][-1]
    with EdgeStore(path) as store:
        assert store.count() in (told, told + 32)
        starts = sorted(passage.start for passage in store.scroll())
        assert starts == list(range(store.count()))
        found = store.search_sparse([SparseVector((n,), (1.0,)) for n in range(told)], limit=2)
        assert [[f.passage.start for f in one] for one in found] == [[n] for n in range(told)]
        store.upsert([Record(Passage("more", "m.md"), np.ones(64), SparseVector((), ()))])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MiB, where the test may mount one."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(200 << 20)
    # Not a tmpfs: there, even reading the holes of a sparse file takes space.
    for command in (["mkfs.ext4", "-q", image], ["mount", "-o", "loop", image, disk]):
        if shutil.which(command[0]) is None or subprocess.run(command, check=False).returncode:
            pytest.skip("needs mkfs.ext4 and the right to mount")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def _fill(disk: Path, n_free: int) -> None:
    """Leave this many MiB free."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - (n_free << 20))


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_keeps_what_was_stored(small_disk: Path) -> None:
    path = small_disk / "index"
    _fill(small_disk, 80)
    writer = subprocess.run(  # in its own process: the danger is that the system kills it
        [sys.executable, "-c", WRITER, str(path)], capture_output=True, text=True, check=False
    )
    assert writer.returncode == 1, "killed by the system"
    assert "StoreError: the disk of index" in writer.stderr
    assert "what was stored before is kept" in writer.stderr
    told = int(writer.stdout.split()[-1])
    _fill(small_disk, 8)  # too little to add anything, enough for all else
    with EdgeStore(path) as store:
        assert sorted(passage.start for passage in store.scroll()) == list(range(told))
        with pytest.raises(StoreError, match=r"[678] MiB are free.*free some space"):
            store.upsert([Record(Passage("more", "m.md"), np.ones(64), SparseVector((), ()))])
        assert store.delete(filters={"source": "none.md"}) == 0
        assert len(store.search_dense(np.ones((1, 64), np.float32), limit=7)[0]) == 7
        store.optimize()  # left out, with a warning in the log
        assert store.count() == told
        store.delete([passage.id for passage in store.scroll() if passage.start < 10])
    _fill(small_disk, 0)
    with EdgeStore(path) as store:
        assert sorted(passage.start for passage in store.scroll()) == list(range(10, told))
        with pytest.raises(StoreError, match="is full"):
            store.delete(filters={"source": "s.md"})
    _fill(small_disk, 80)
    with EdgeStore(path) as store:
        store.upsert([Record(Passage("more", "m.md"), np.ones(64), SparseVector((), ()))])
        assert store.count() == told - 9
