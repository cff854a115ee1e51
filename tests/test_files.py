"""Files are whole or as they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unimoer_rag.files import replacing, write_file


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    (tmp_path / "b.json").touch()
    assert path.stat().st_mode == (tmp_path / "b.json").stat().st_mode
    (tmp_path / "b.json").unlink()
    path.chmod(0o600)
    write_file(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o600  # who could read it before can now
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o002, 0o022])
def test_a_new_file_is_as_the_umask_has_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "a.json") as part:
            assert part.stat().st_mode & 0o777 == 0o666 & ~umask  # while it is written, too
            part.write_text("{}", encoding="utf-8")
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_who_could_read_a_file_can_read_the_next(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.json"
    path.touch()
    path.chmod(mode)
    with replacing(path) as part:
        assert part.stat().st_mode & 0o077 & ~mode == 0  # never more, while it is written
        part.write_text("{}", encoding="utf-8")
    assert path.stat().st_mode & 0o777 == mode


def test_a_long_name(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 120 + ".json")
    write_file(path, "{}")
    assert os.listdir(tmp_path) == [path.name]


def test_text_that_utf_8_cannot_hold(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt", "a\udcffb")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "a\ufffdb"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("before", encoding="utf-8")

    def interrupted() -> None:
        with replacing(path) as part:
            part.write_text("half", encoding="utf-8")
            assert path.read_text(encoding="utf-8") == "before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text(encoding="utf-8") == "before"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_device_stays_a_device_and_a_link_a_link(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, "through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    link, file = tmp_path / "link", tmp_path / "file"
    file.write_text("before", encoding="utf-8")
    link.symlink_to(file)
    write_file(link, "after")
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8") == "after"


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        write_file(tmp_path / "missing" / "a.json", "x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    with pytest.raises(OSError, match="folder"):
        write_file(tmp_path / "folder", "x")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_private_file_is_its_owners_whoever_could_read_it_before(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for _ in range(2):
        with replacing(file, private=True) as part:
            part.write_text("secret", encoding="utf-8")
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o644)
