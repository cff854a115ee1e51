"""An index folder is whole, or says that it is not; and who may open it, and where."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from store_contract import DIMENSION, ENCODER, RECORDS

from unimoer_rag.errors import IndexCorruptError, IndexLockedError, StoreError, UnimoerError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.store import EdgeStore, Store
from unimoer_rag.retrieval.store.manifest import read_manifest

IDS = [record.passage.id for record in RECORDS]
QUERY = np.ones((1, DIMENSION), np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed index of RECORDS."""
    with EdgeStore(tmp_path / "index", dimension=DIMENSION) as store:
        store.upsert(RECORDS)
        store.set_identity({"checkpoint": "abc"})
    return tmp_path / "index"


def answers(store: Store) -> tuple[object, ...]:
    """All that an index of RECORDS says."""
    return (
        store.search_dense(QUERY, limit=9),
        store.search_sparse([ENCODER.query("refunds of working hours")], limit=9),
        store.get(IDS),
        list(store.scroll()),
        [p.id for p in store.scroll({"year": {"gte": 2020}})],
        store.sources({"source": "doc0.md"}),
        store.identity(),
    )


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


# Killed at the very start


@pytest.mark.slow
def test_a_kill_while_the_first_manifest_is_written(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from unimoer_rag.retrieval.store import EdgeStore
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
EdgeStore(sys.argv[1], dimension=8)
"""
    assert python(code, tmp_path / "index").returncode == -9
    assert [f.name for f in (tmp_path / "index").glob("*.part")] or list(
        (tmp_path / "index").glob(".unimoer.json.*")
    )
    with EdgeStore(tmp_path / "index", dimension=DIMENSION) as store:
        store.upsert(RECORDS)
    assert not [f for f in (tmp_path / "index").iterdir() if f.name.startswith(".unimoer")]


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        {"passages": "x"},
        {"passages": -1},
        {"passages": True},
        {"ready": "no"},
        {"ready": 1},
        {"dimension": True},
        {"dimension": 8.0},
        {"identity": [1]},
        {"quantization": 8},
        {"version": True},
        {"more": 1},
    ],
)
def test_manifests_that_are_none(tmp_path: Path, content: str | dict[str, object]) -> None:
    whole = {"format": "unimoer-index", "version": 1, "dimension": 8}
    text = content if isinstance(content, str) else json.dumps(whole | content)
    (tmp_path / "unimoer.json").write_text(text)
    with pytest.raises(IndexCorruptError, match=r"index the documents again"):
        read_manifest(tmp_path)


# The log


@pytest.mark.slow
def test_a_lost_log_of_a_closed_index_begins_anew(folder: Path) -> None:
    for lost in ("open-1", "open-2", "first-index"):
        shutil.copytree(folder, copy := folder.with_name(lost))
        (copy / "shard/wal" / lost).unlink()
        for _ in range(2):  # reading does not mend it
            with EdgeStore(copy) as store:
                assert store.get(IDS) == [record.passage for record in RECORDS]
        with EdgeStore(copy) as store:
            assert store.delete([IDS[0]]) == 1
            store.upsert([RECORDS[1]])
            assert store.existing(IDS) == set(IDS[1:])
        with EdgeStore(copy) as store:
            assert store.existing(IDS) == set(IDS[1:])


@pytest.mark.slow
def test_a_lost_log_of_an_interrupted_index_is_told(folder: Path) -> None:
    code = """
import os, sys
from unimoer_rag.retrieval.store import EdgeStore
store = EdgeStore(sys.argv[1])
store.delete(filters={"source": "doc0.md"})
os._exit(0)
"""
    assert python(code, folder).returncode == 0
    shutil.copytree(folder, copy := folder.with_name("copy"))
    with EdgeStore(copy) as store:  # the log says what was not flushed
        assert store.count() == len(RECORDS) - 2
    for file in (folder / "shard/wal").iterdir():
        file.unlink()
    with pytest.raises(IndexCorruptError, match="lost its write-ahead log"):
        EdgeStore(folder)


# Flipped bits


def flips(folder: Path, n_each: int) -> Iterator[tuple[Path, int]]:
    """Places in what every file holds."""
    random = np.random.default_rng(0)
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        content = np.frombuffer(file.read_bytes(), np.uint8)
        used = np.flatnonzero(content)
        places = random.choice(used, min(n_each, len(used)), replace=False) if len(used) else []
        for at in places:
            yield file, int(at)


@pytest.mark.slow
def test_a_flipped_bit_is_told_or_changes_nothing(folder: Path) -> None:
    with EdgeStore(folder) as store:
        expected = answers(store)
    told = changed_nothing = 0
    for number, (file, at) in enumerate(flips(folder, 3)):
        whole = file.read_bytes()
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << number % 8]) + whole[at + 1 :])
        try:
            with EdgeStore(folder) as store:
                assert answers(store) == expected, (file, at)
            changed_nothing += 1
        except UnimoerError:
            told += 1
        file.write_bytes(whole)
    assert told >= 60
    assert changed_nothing <= 3  # the engine's settings, which are written anew


def test_checksums_hold_while_nothing_is_changed(folder: Path) -> None:
    checksums = folder / "checksums.json"
    written = checksums.read_bytes()
    with EdgeStore(folder) as store:
        store.search_dense(QUERY, limit=3)
        store.flush()
        assert checksums.read_bytes() == written
    assert checksums.read_bytes() == written
    with EdgeStore(folder) as store:
        store.delete([IDS[0]])
        assert not checksums.exists()
        store.flush()
        assert not checksums.exists()
    assert checksums.read_bytes() != written
    checksums.write_bytes(written)
    with pytest.raises(IndexCorruptError, match=r"damaged: .* more"):
        EdgeStore(folder)


def test_a_killed_reader_leaves_a_whole_index(folder: Path) -> None:
    code = """
import os, sys
import numpy as np
from unimoer_rag.retrieval.store import EdgeStore
EdgeStore(sys.argv[1]).search_dense(np.ones((1, 8), np.float32), limit=3)
os._exit(0)
"""
    written = (folder / "checksums.json").read_bytes()
    assert python(code, folder).returncode == 0
    assert (folder / "checksums.json").read_bytes() == written
    EdgeStore(folder).close()


@pytest.mark.slow
@pytest.mark.parametrize("hnsw_from", [50_000, 100])
@pytest.mark.parametrize("quantization", [None, "int8", "binary"])
def test_an_opening_changes_no_file(tmp_path: Path, quantization: str, hnsw_from: int) -> None:
    from store_contract import make_record

    path = tmp_path / "index"
    options = {"dimension": DIMENSION, "quantization": quantization, "hnsw_from": hnsw_from}
    with EdgeStore(path, **options) as store:  # type: ignore[arg-type]
        store.upsert([make_record(n, text=f"passage {n}") for n in range(300)])
        store.optimize()
        store.delete(filters={"source": "doc7.md"})
        store.upsert([make_record(n, text=f"late {n}") for n in range(50)])
    for _ in range(2):
        with EdgeStore(path, hnsw_from=hnsw_from) as store:
            assert store.count() == 348
            store.search_dense(QUERY, limit=9)
    from unimoer_rag.retrieval.store.checksums import Checksums

    recorded = Checksums.read(path)
    assert recorded is not None
    assert recorded.differences(path) == {}


def test_an_index_without_checksums_opens_and_gets_some(folder: Path) -> None:
    (folder / "checksums.json").unlink()
    with EdgeStore(folder) as store:
        assert store.count() == len(RECORDS)
    assert (folder / "checksums.json").is_file()


def test_a_damaged_list_of_checksums_is_told(folder: Path) -> None:
    file = folder / "checksums.json"
    for text in ("", "{", "[]", "[" * 100_000, file.read_text().replace("0", "1", 1)):
        file.write_text(text)
        with pytest.raises(IndexCorruptError, match=r"checksums.json' is damaged.*delete this"):
            EdgeStore(folder)


@pytest.mark.slow
def test_copies_without_holes_are_the_same(folder: Path, tmp_path: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            target = tmp_path / "copy" / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    with EdgeStore(tmp_path / "copy") as store:
        assert store.count() == len(RECORDS)


# Reading beside another, and where nothing can be written


def test_an_open_index_can_be_read_by_others(folder: Path) -> None:
    with EdgeStore(folder) as store:
        with pytest.raises(IndexLockedError, match="read_only=True"):
            EdgeStore(folder)
        expected = answers(store)
        with EdgeStore(folder, read_only=True) as one, EdgeStore(folder, read_only=True) as two:
            assert answers(one) == answers(two) == expected
            assert "another process has it open" in one.read_only
            with pytest.raises(StoreError, match="reading only"):
                one.delete([IDS[0]])
            one.flush()
            one.optimize()
            store.delete([IDS[0]])
            with pytest.raises(IndexLockedError, match="being changed"):
                EdgeStore(folder, read_only=True)
            assert one.count() == len(RECORDS)
            store.flush()
            with EdgeStore(folder, read_only=True) as three:
                assert three.count() == len(RECORDS) - 1


def test_read_only_where_nobody_else_is(folder: Path) -> None:
    written = (folder / "checksums.json").read_bytes()
    with EdgeStore(folder, read_only=True) as store:
        assert store.count() == len(RECORDS)
        for change in (
            lambda: store.upsert(RECORDS),
            lambda: store.delete(IDS),
            lambda: store.set_identity({}),
        ):
            with pytest.raises(StoreError, match="reading only"):
                change()
    assert (folder / "checksums.json").read_bytes() == written
    with EdgeStore(folder) as store:
        assert store.read_only == ""
        assert store.delete(IDS) == len(IDS)


@pytest.fixture
def read_only_media(folder: Path) -> Iterator[Path]:
    """The index on a file system that cannot be written, where the test may mount one."""
    mount = ["mount", "--bind", folder, folder]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount")
    subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_an_index_on_read_only_media(read_only_media: Path, tmp_path: Path) -> None:
    with EdgeStore(read_only_media, dimension=DIMENSION) as store:
        assert store.get(IDS) == [record.passage for record in RECORDS]
        assert "cannot be written" in store.read_only
        assert answers(store)[0] == store.search_dense(QUERY, limit=9)
        with pytest.raises(StoreError, match="reading only: its folder cannot be written"):
            store.upsert(RECORDS)


# Forks


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_fork_has_no_part_in_an_open_index(folder: Path) -> None:
    code = """
import os, sys
import numpy as np
from unimoer_rag.errors import StoreError
from unimoer_rag.retrieval.store import EdgeStore

store = EdgeStore(sys.argv[1])
ids = [passage.id for passage in store.scroll()]
to_parent, from_child = os.pipe()
go_on, goes_on = os.pipe()
child = os.fork()
if child == 0:
    calls = (
        lambda: store.delete(ids), lambda: store.upsert([]), lambda: store.count(),
        lambda: store.search_dense(np.ones((1, 8), np.float32), limit=3), lambda: store.flush(),
        lambda: list(store.scroll()), lambda: store.optimize(),
    )
    for call in calls:
        try:
            call()
        except StoreError as error:
            assert "fork" in str(error), error
        else:
            if call is not calls[1]:
                os.write(from_child, b"not refused")
    store.close()
    os.write(from_child, b"done")
    os.read(go_on, 1)  # alive while the parent lets go
    del store
    sys.exit(0)  # with all finalizers
assert os.read(to_parent, 99) == b"done"
store.delete(ids[:1])
store.close()
with EdgeStore(sys.argv[1]) as again:  # no lock lives on in the child
    assert again.count() == len(ids) - 1
os.write(goes_on, b"x")
assert os.waitpid(child, 0)[1] == 0
with EdgeStore(sys.argv[1]) as again:
    assert again.existing(ids) == set(ids[1:])
print("well")
"""
    done = python(code, folder)
    assert (done.stdout, done.stderr) == ("well\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_fork_or_a_started_process_keeps_no_lock_of_a_dead_parent(folder: Path) -> None:
    code = """
import os, subprocess, sys
from unimoer_rag.retrieval.store import EdgeStore
store = EdgeStore(sys.argv[1])
started = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"],
    stdin=int(sys.argv[2]), stdout=subprocess.DEVNULL, close_fds=False)
there, here = os.pipe()
if os.fork() == 0:
    os.close(1)
    os.write(here, b"!")
    os.read(int(sys.argv[2]), 1)
    os._exit(0)
os.read(there, 1)  # a child lets go when it first runs
os._exit(0)
"""
    reading, writing = os.pipe()
    try:
        subprocess.run(
            [sys.executable, "-c", code, folder, str(reading)], check=True, pass_fds=[reading]
        )
        EdgeStore(folder).close()  # both still wait
    finally:
        os.close(writing)
        os.close(reading)


@pytest.mark.slow
def test_a_retriever_beside_another(minilm: UniMoER, tmp_path: Path) -> None:
    with UnifiedRetriever(minilm, index=tmp_path / "index") as retriever:
        retriever.add(["Refunds take ten days."])
        with pytest.raises(IndexLockedError, match="read_only=True"):
            UnifiedRetriever(minilm, index=tmp_path / "index")
        with UnifiedRetriever(minilm, index=tmp_path / "index", read_only=True) as other:
            assert other.search("refunds") == retriever.search("refunds")
            with pytest.raises(StoreError, match="reading only"):
                other.add(["More of them."])
        retriever.add(["More of them."])
        assert retriever.count() == 2
