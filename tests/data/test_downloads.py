"""Files brought from a real server on this machine, which breaks off, refuses and lies."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from data.file_server import FileServer, serving, serving_as_the_hub
from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars
from tenacity import wait_none

from unimoer_rag.data.catalogue.remote import HubFile, WebFile
from unimoer_rag.data.catalogue.transfer import TransferError, download
from unimoer_rag.errors import DataError

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer({"/a.bin": CONTENT})) as served:
        yield served


def fetch(server: FileServer, target: Path, **settings: object) -> None:
    given = {"digest": SHA256, "wait": wait_none(), **settings}
    download(f"{server.url}/a.bin", target, **given)  # type: ignore[arg-type]


def test_a_file_comes_whole_once_and_is_told_about(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    target = tmp_path / "new" / "a.bin"
    fetch(server, target, on_progress=lambda *what: told.append(what))
    assert target.read_bytes() == CONTENT
    assert told[-1] == ("a.bin", len(CONTENT), len(CONTENT))
    fetch(server, target)
    assert server.asked == [("/a.bin", None)]
    assert not list(target.parent.glob("*.part"))


def test_a_broken_transfer_goes_on_where_it_was(server: FileServer, tmp_path: Path) -> None:
    server.cut = [100_000, 50_000]
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    (_, first), *others = server.asked
    assert first is None
    starts = [int(str(asked).removeprefix("bytes=").removesuffix("-")) for _, asked in others]
    assert len(starts) == 2
    assert 0 < starts[0] <= 100_000
    assert starts[0] < starts[1] <= 150_000


def test_a_server_that_refuses_for_a_while_is_asked_again(
    server: FileServer, tmp_path: Path
) -> None:
    server.statuses = [503, 429]
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_what_came_before_the_server_died_is_used_by_the_next_call(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with (
        serving(FileServer({"/a.bin": CONTENT}, cut=[200_000, 0, 0, 0, 0])) as dying,
        pytest.raises(TransferError, match=r"could not download .*a\.bin .*bytes that came"),
    ):
        fetch(dying, target)
    part = tmp_path / "a.bin.part"
    came = part.stat().st_size
    assert 0 < came <= 200_000
    assert not target.exists()
    with serving(FileServer({"/a.bin": CONTENT})) as healthy:
        fetch(healthy, target)
        assert healthy.asked == [("/a.bin", f"bytes={came}-")]
    assert target.read_bytes() == CONTENT


def test_a_part_that_was_whole_only_gets_its_name(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(b"something else")
    fetch(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_another_file_than_the_pinned_one_is_not_kept(server: FileServer, tmp_path: Path) -> None:
    server.files["/a.bin"] = CONTENT[::-1]
    with pytest.raises(DataError, match=f"SHA-256 [0-9a-f]{{64}}, expected {SHA256}"):
        fetch(server, tmp_path / "a.bin")
    assert not list(tmp_path.glob("a.bin*[!k]"))  # nothing but the lock


def test_a_file_that_is_not_there_is_not_asked_for_again(
    server: FileServer, tmp_path: Path
) -> None:
    del server.files["/a.bin"]
    with pytest.raises(DataError, match="answers with status 404"):
        fetch(server, tmp_path / "a.bin")
    assert len(server.asked) == 1


def test_nobody_answers(tmp_path: Path) -> None:
    with serving(FileServer()) as gone:
        pass
    with pytest.raises(TransferError, match=r"could not download .*ConnectError.*0 bytes"):
        fetch(gone, tmp_path / "a.bin")


def test_a_folder_that_cannot_be_written(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        fetch(server, tmp_path / "file" / "a.bin")


def test_a_web_file_is_found_again(server: FileServer, tmp_path: Path) -> None:
    file = WebFile(f"{server.url}/a.bin", SHA256, len(CONTENT))
    assert file.here(tmp_path) is None
    path = file.fetch(tmp_path)
    assert path.read_bytes() == CONTENT
    assert file.here(tmp_path) == path
    assert len(server.asked) == 1


def test_a_file_is_taken_out_of_its_archive_once(server: FileServer, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("qa/dev.json")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"{}"))
    server.files["/qa.tar.gz"] = content = packed.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    file = WebFile(f"{server.url}/qa.tar.gz", sha256, len(content), member="qa/dev.json")
    path = file.fetch(tmp_path)
    assert (path.name, path.read_text()) == ("dev.json", "{}")
    assert file.here(tmp_path) == path
    other = WebFile(file.url, sha256, len(content), member="qa/train.json")
    with pytest.raises(DataError, match=r"qa\.tar\.gz holds no qa/train\.json"):
        other.here(tmp_path)
    (tmp_path / "bad.tar.gz").write_bytes(content[:40])
    with pytest.raises(DataError, match=r"cannot unpack qa/dev\.json"):
        file.unpacked(tmp_path / "bad.tar.gz")


@pytest.fixture
def hub() -> Iterator[FileServer]:
    with serving_as_the_hub({f"owner/set/resolve/{'0' * 40}/folder/a.jsonl": CONTENT}) as served:
        yield served


def test_a_hub_file_comes_by_its_commit_and_is_found_again(hub: FileServer, tmp_path: Path) -> None:
    file = HubFile("owner/set", "0" * 40, "folder/a.jsonl", len(CONTENT))
    assert (
        file.url == f"https://huggingface.co/datasets/owner/set/resolve/{'0' * 40}/folder/a.jsonl"
    )
    assert file.here(tmp_path) is None
    told: list[tuple[str, int, int]] = []
    with disable_progress_bars():  # as the command line does
        path = file.fetch(tmp_path, lambda *what: told.append(what))
    assert path.read_bytes() == CONTENT
    assert path.name == "a.jsonl"
    assert told[-1] == ("a.jsonl", len(CONTENT), len(CONTENT))
    assert file.here(tmp_path) == path
    n = len(hub.asked)
    assert file.fetch(tmp_path) == path
    assert len(hub.asked) == n


def test_a_hub_file_that_is_not_there(hub: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no https://huggingface\.co/datasets/owner/set"):
        HubFile("owner/set", "0" * 40, "other.jsonl", 1).fetch(tmp_path)


def test_the_hub_is_not_reached(tmp_path: Path) -> None:
    assert constants.HF_HUB_OFFLINE  # of the whole suite
    with pytest.raises(TransferError, match=r"could not download https://.*is not reached"):
        HubFile("owner/set", "0" * 40, "folder/a.jsonl", 1).fetch(tmp_path)
