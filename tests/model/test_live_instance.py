"""A model that is live already is had again for the price of asking the file system."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import make_model, randomise, save_backbone

from unimoer_rag.model.io import files
from unimoer_rag.model.io.files import file_digest
from unimoer_rag.model.unimoer import UniMoER


def load(name: str | Path, dtype: str = "float32", **options: str) -> UniMoER:
    return UniMoER.from_pretrained(name, device="cpu", dtype=dtype, **options)


@pytest.fixture
def aged(monkeypatch) -> None:
    """Files just written count as old ones do, and nothing is known of any."""
    monkeypatch.setattr(files, "_SETTLED_NS", -(2**62))
    monkeypatch.setattr(files, "_digests", {})


_watchers: list[list[str]] = []


def _watch(event: str, args: tuple[object, ...]) -> None:
    if event == "open":
        for names in _watchers:
            names.append(str(args[0]))


sys.addaudithook(_watch)  # for good: hooks cannot be taken back


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every file that this process opens, by whatever library."""
    names: list[str] = []
    _watchers.append(names)
    yield names
    _watchers.remove(names)


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """Every file whose digest is computed."""
    names: list[str] = []
    compute = hashlib.file_digest

    def note(file: Any, kind: str) -> Any:
        names.append(str(file.name))
        return compute(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", note)
    return names


@pytest.mark.parametrize("budget", [{}, {"memory_budget": "2GB"}])
@pytest.mark.parametrize("kind", ["shipped", "checkpoint", "backbone"])
def test_a_live_model_is_had_again_without_opening_a_file(
    kind: str, budget: dict[str, str], backbone_path, minilm_path, tmp_path, aged, opened
) -> None:
    path = backbone_path("bert")
    name = {
        "shipped": lambda: "unimoer-minilm",
        "checkpoint": lambda: make_model(path).save_pretrained(tmp_path / "checkpoint"),
        "backbone": lambda: path,
    }[kind]()
    opened.clear()
    model = load(name, **budget)
    if kind != "shipped":  # which another test may hold; the watch does see what is read
        assert str(model.path / "model.safetensors") in opened
    opened.clear()
    for _ in range(2):
        assert load(name, **budget) is model
    assert opened == []


def test_pinned_weights_are_hashed_once(minilm_path: Path, aged, hashed) -> None:
    """Though three models are made of them, one within a budget."""
    models = [
        load("unimoer-minilm"),
        load("unimoer-minilm", dtype="bfloat16"),
        load("minilm", dtype="auto", memory_budget="2GB"),
    ]
    assert len({id(model) for model in models}) == 3
    assert len(hashed) == 1
    assert (minilm_path / "model.safetensors").samefile(hashed[0])


@pytest.mark.parametrize("budget", [{}, {"memory_budget": "2GB"}])
def test_a_backbone_of_other_weights_is_another_model(tmp_path: Path, aged, budget) -> None:
    folder = save_backbone("bert", tmp_path / "backbone")
    first = load(folder, **budget)
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    changed = {name: tensor * 1.5 for name, tensor in load_file(weights).items()}
    save_file(changed, weights, metadata={"format": "pt"})
    assert weights.stat().st_size == size
    second = load(folder, **budget)
    assert second is not first
    assert second.checkpoint_digest != first.checkpoint_digest
    ones = [next(m.backbone.parameters()) for m in (first, second)]
    assert torch.allclose(ones[1], ones[0] * 1.5)


def test_a_checkpoint_of_other_weights_is_another_model(backbone_path, tmp_path, aged) -> None:
    made = make_model(backbone_path("bert"))
    first = load(made.save_pretrained(tmp_path / "checkpoint"))
    second = load(randomise(made, seed=5).save_pretrained(tmp_path / "checkpoint"))
    assert second is not first
    assert second.checkpoint_digest != first.checkpoint_digest


def test_a_file_that_changed_has_another_digest(tmp_path: Path, aged, hashed) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    before = file.stat()
    assert file_digest(file) == file_digest(file) == hashlib.sha256(b"one").hexdigest()
    assert hashed == [str(file)]
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` would
    assert file_digest(file) == hashlib.sha256(b"two").hexdigest()
    (tmp_path / "other").write_bytes(b"six")
    os.replace(tmp_path / "other", file)
    assert file_digest(file) == hashlib.sha256(b"six").hexdigest()


def test_of_a_file_just_written_nothing_is_kept(tmp_path: Path, hashed) -> None:
    """It may change again within a tick of the file system's clock."""
    file = tmp_path / "file"
    file.write_bytes(b"one")
    file_digest(file)
    file_digest(file)
    assert hashed == [str(file)] * 2
