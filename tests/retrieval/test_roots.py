"""The names of folders in an index: one each, and the same the next time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unimoer_rag.retrieval.roots import Roots
from unimoer_rag.retrieval.store import EdgeStore, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with EdgeStore(tmp_path / "index", dimension=4) as store:
        store.set_identity({"model": "m"})
        yield store


@pytest.fixture
def roots(store: Store, tmp_path: Path) -> Roots:
    return Roots(store, tmp_path / "index")


def folder(*parts: str | Path) -> Path:
    path = Path(*parts)
    path.mkdir(parents=True)
    return path


def name(roots: Roots, path: Path) -> str:
    root = roots.of(path)
    roots.remember(root)
    return root.name


def test_folders_of_one_name_are_told_apart(roots: Roots, store: Store, tmp_path: Path) -> None:
    a, b = folder(tmp_path, "a", "docs"), folder(tmp_path, "b", "docs")
    c = folder(tmp_path, "c", "b", "docs")
    for _ in range(2):
        assert [name(roots, one) for one in (a, b, c)] == ["docs", "b/docs", "c/b/docs"]
    assert name(roots, a / ".." / "docs") == "docs"
    assert (store.identity() or {})["model"] == "m"


def test_a_name_that_only_later_would_clash(roots: Roots, tmp_path: Path) -> None:
    """`b` holds another `docs` than the one that is called `b/docs`."""
    a, b = folder(tmp_path, "a", "docs"), folder(tmp_path, "b", "docs")
    other = folder(tmp_path, "c", "b", "docs").parent
    assert [name(roots, one) for one in (a, b)] == ["docs", "b/docs"]
    assert name(roots, other) == "c/b"
    assert name(roots, b.parent) == "b"  # this is the one


def test_a_moved_folder_keeps_its_name(roots: Roots, tmp_path: Path) -> None:
    a = folder(tmp_path, "a", "docs")
    assert name(roots, a) == "docs"
    (tmp_path / "new").mkdir()
    moved = a.rename(tmp_path / "new" / "docs")
    assert name(roots, moved) == "docs"
    assert name(roots, folder(a)) == "a/docs"  # another one, now that the name is taken


def test_an_index_that_was_copied_with_its_documents(store: Store, tmp_path: Path) -> None:
    first, second = folder(tmp_path, "one", "docs"), folder(tmp_path, "two", "docs")
    assert name(Roots(store, tmp_path / "one" / "index"), first) == "docs"
    assert name(Roots(store, tmp_path / "two" / "index"), second) == "docs"


def test_what_lies_in_a_known_folder_is_named_from_there(roots: Roots, tmp_path: Path) -> None:
    handbook = folder(tmp_path, "handbook")
    eu = folder(handbook, "eu")
    (eu / "a.md").write_text("A.")
    assert name(roots, eu / "a.md") == "eu"  # the folder of a file that was given
    assert name(roots, handbook) == "handbook"
    assert name(roots, eu / "a.md") == "eu"
    deeper = folder(eu, "deeper")
    assert name(roots, deeper) == "handbook/eu/deeper"
    assert name(roots, handbook) == "handbook"


def test_a_link_is_the_folder_that_it_leads_to(roots: Roots, tmp_path: Path) -> None:
    a = folder(tmp_path, "a", "docs")
    assert name(roots, a) == "docs"
    (tmp_path / "docs").symlink_to(a, target_is_directory=True)
    assert name(roots, tmp_path / "docs") == "docs"
    (tmp_path / "other").symlink_to(a, target_is_directory=True)
    assert name(roots, tmp_path / "other") == "docs"


def test_what_is_kept_of_roots_may_be_anything(store: Store, tmp_path: Path) -> None:
    docs = folder(tmp_path, "docs")
    for kept in (3, [], {"docs": 1}, {"docs": {"folder": 5}}, {"docs": {}}):
        store.set_identity({"roots": kept})
        assert name(Roots(store, None), docs) == "docs"


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")
def test_folders_whose_names_are_no_text(roots: Roots, store: Store, tmp_path: Path) -> None:
    folders = [folder(tmp_path, os.fsdecode(name)) for name in (b"bad\xfe", b"bad\xff")]
    for _ in range(2):
        assert [name(roots, one) for one in folders] == [r"bad\xfe", r"bad\xff"]
    store.flush()
