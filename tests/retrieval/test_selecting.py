"""What of a folder is read: globs, ignore files, links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unimoer_rag.errors import InputError, ReadError
from unimoer_rag.retrieval.selecting import Selection
from unimoer_rag.retrieval.sources import scan


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"Text of {name}.")
    return root


def found(path: Path, **selection: object) -> list[str]:
    corpus = scan(path, selection=Selection(**selection))  # type: ignore[arg-type]
    return [source.partition("/")[2] for source, _ in corpus.files]


def test_globs(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "a.md", "b.txt", "drafts/c.md", "drafts/d/e.txt", "f/drafts.md")
    assert found(docs, exclude=["drafts/"]) == ["a.md", "b.txt", "f/drafts.md"]
    assert found(docs, include=["*.md"]) == ["a.md", "drafts/c.md", "f/drafts.md"]
    assert found(docs, include=["/f", "*.txt"], exclude=["d/"]) == ["b.txt", "f/drafts.md"]
    assert found(docs, exclude=["*", "!*.txt"]) == ["b.txt"]
    assert scan(docs, selection=Selection(exclude=["drafts/", "a.*"])).skipped == {"excluded": 2}


@pytest.mark.parametrize("globs", ["*.md", ["!"], [3]])
def test_globs_that_are_none(globs: list[str]) -> None:
    with pytest.raises(InputError, match="exclude"):
        Selection(exclude=globs)


def test_ignore_files_count_as_for_git(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "a.log.txt", "keep.log.txt", "b/out/x.md", "b/c.md", "out/y.md")
    (docs / ".gitignore").write_text("*.log.txt\n!keep.log.txt\nout/\n# no\n!\n")
    (docs / "b" / ".gitignore").write_text("!out/\n/c.md\n")
    make(docs, "node_modules/p/readme.md", "b/__pycache__/z.txt")
    assert found(docs) == ["b/out/x.md", "keep.log.txt"]
    assert scan(docs).skipped == {"hidden": 2, "ignored": 5}
    assert len(found(docs, ignore_files=False)) == 7
    (docs / ".gitignore").write_text("!node_modules/\n")
    assert "node_modules/p/readme.md" in found(docs)


def test_ignore_files_above_count_inside_a_repository(tmp_path: Path) -> None:
    repository = make(tmp_path / "repo", "docs/a.md", "docs/b.tmp.md", "build/docs/c.md")
    (repository / ".gitignore").write_text("*.tmp.md\nbuild/\n/docs/a.md\n")
    assert found(repository / "docs") == ["a.md", "b.tmp.md"]  # no repository
    (repository / ".git").mkdir()
    assert found(repository / "docs") == []
    assert found(repository / "build" / "docs") == ["c.md"]  # asked for by name


def test_an_ignore_file_that_is_none_ignores_nothing(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "a.md", "b/c.md")
    os.mkfifo(docs / ".gitignore")  # reading it would wait for ever
    (docs / "b" / ".gitignore").write_bytes(b"\xff\xfe\0\n[\n")
    assert found(docs) == ["a.md", "b/c.md"]


def test_links_stay_inside_unless_followed(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "a.md", "sub/b.md")
    other = make(tmp_path / "other", "secret.md", "deep/more.md")
    (docs / "inside.md").symlink_to(docs / "a.md")
    (docs / "out.md").symlink_to(other / "secret.md")
    (docs / "out").symlink_to(other, target_is_directory=True)
    (docs / "again").symlink_to(other, target_is_directory=True)
    (docs / "sub" / "loop").symlink_to(docs, target_is_directory=True)
    (docs / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    (other / "back").symlink_to(docs, target_is_directory=True)
    corpus = scan(docs)
    assert [source for source, _ in corpus.files] == ["docs/a.md", "docs/sub/b.md"]
    assert corpus.skipped == {
        "link out of the folder": 4, "linked file": 1, "linked folder": 1
    }  # fmt: skip
    followed = found(docs, follow_links=True)
    assert followed == ["a.md", "again/deep/more.md", "again/secret.md", "sub/b.md"]


def test_a_file_is_read_once_whatever_links_to_it(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "a.md", "sub/b.md", ".store/hidden.md", "named.other")
    (docs / "0.md").symlink_to("a.md")
    (docs / "sub" / "chain.md").symlink_to(docs / "0.md")
    (docs / "sub" / "out-of-sub.md").symlink_to("b.md")
    # What is read at no place of its own is read by its first link.
    (docs / "one.md").symlink_to(".store/hidden.md")
    (docs / "two.md").symlink_to(".store/hidden.md")
    (docs / "other.md").symlink_to("named.other")
    (docs / "gone.md").symlink_to("nowhere.md")
    corpus = scan(docs)
    assert [source for source, _ in corpus.files] == [
        "docs/a.md", "docs/gone.md", "docs/one.md", "docs/other.md", "docs/sub/b.md"
    ]  # fmt: skip
    assert corpus.skipped == {".other": 1, "hidden": 1, "linked file": 4}
    assert [source for source, _ in scan(docs / "0.md").files] == ["docs/0.md"]  # asked for


def test_a_linked_corpus_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jsonl").write_text('{"_id": "1", "text": "A."}\n')
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "corpus.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    corpus = scan(tmp_path / "data")
    assert (corpus.files, corpus.skipped) == ((), {"link out of the folder": 1})
    assert scan(tmp_path / "data", selection=Selection(follow_links=True)).precut
    assert scan(tmp_path / "data" / "corpus.jsonl").precut  # named by the user


def test_a_link_that_is_given_is_a_folder_like_others(tmp_path: Path) -> None:
    make(tmp_path / "v1", "a.md")
    (tmp_path / "current").symlink_to(tmp_path / "v1", target_is_directory=True)
    assert [source for source, _ in scan(tmp_path / "current").files] == ["current/a.md"]


def test_an_index_is_no_document(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "a.md", "my.index/shard/x.txt")
    (docs / "my.index" / "unimoer.json").write_text("{}")
    corpus = scan(docs)
    assert [source for source, _ in corpus.files] == ["docs/a.md"]
    assert corpus.skipped == {"index": 1}
    with pytest.raises(ReadError, match="it is an index"):
        scan(docs / "my.index")


@pytest.mark.slow
def test_a_very_deep_folder_is_read(tmp_path: Path) -> None:
    depth, where = 1050, os.getcwd()  # deeper than Python calls
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("a.md").write_text("A.")
        corpus = scan(tmp_path)
        os.remove("a.md")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")
    finally:
        os.chdir(where)
    assert len(corpus.files) == 1
