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
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    write_file(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o600  # who could read it before can now
    assert os.listdir(tmp_path) == ["a.json"]


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
