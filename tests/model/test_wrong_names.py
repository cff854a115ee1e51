"""What is said of models that are not there, or not as they should be: the nearest remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from unimoer_rag import UniMoER
from unimoer_rag.errors import BackboneError, CheckpointError, DigestMismatchError
from unimoer_rag.model import BACKBONES, resolve_backbone
from unimoer_rag.model.io.backbone import check_digest, locate

ST = "sentence_transformers.models."
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 437955512\n"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bge-smal-en-v1.5", "bge-small-en-v1.5"),
        ("BGE-smal-en-v15", "bge-small-en-v1.5"),
        ("unimoer-minlm", "unimoer-minilm"),
        ("all-mpnet-base", "all-mpnet-base-v2"),
    ],
)
def test_the_nearest_names_are_told(name: str, meant: str) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint") as raised:
        UniMoER.from_pretrained(name)
    said = str(raised.value)
    assert f"did you mean {meant}" in said
    assert len(said) < 350
    assert sum(known in said for known in BACKBONES) < 8


def test_of_a_name_like_none_nothing_is_guessed() -> None:
    with pytest.raises(
        CheckpointError, match="no checkpoint 'zzzz': expected one of unimoer-minilm"
    ):
        UniMoER.from_pretrained("zzzz")
    more = len(BACKBONES) - 3
    with pytest.raises(BackboneError, match=rf"'zzzz': expected one of minilm, .* {more} more"):
        resolve_backbone("zzzz")


@pytest.mark.parametrize("revision", ["main", "v1.5", "5c38ec7", "", "G" * 40])
def test_a_branch_is_no_commit(revision: str) -> None:
    for ask in (UniMoER.from_pretrained, UniMoER.from_backbone, locate):
        with pytest.raises(BackboneError, match="expected the 40 digits of a commit") as raised:
            ask(f"owner/name@{revision}")
        assert f"owner/name is asked for at {revision!r}" in str(raised.value)


def test_copies_that_are_elsewhere_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UNIMOER_BACKBONES", raising=False)
    with pytest.raises(BackboneError, match=r"\$UNIMOER_BACKBONES$"):
        resolve_backbone("e5-small-v2")
    monkeypatch.setenv("UNIMOER_BACKBONES", str(tmp_path))
    with pytest.raises(BackboneError, match=rf"is '{tmp_path}', which has no folder e5-small-v2"):
        resolve_backbone("e5-small-v2")
    monkeypatch.setenv("UNIMOER_BACKBONES", str(tmp_path / "nowhere"))
    with pytest.raises(BackboneError, match="nowhere', which is no folder"):
        resolve_backbone("e5-small-v2")


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ([("CLIPModel", "")], "has the modules CLIPModel: CLIPModel cannot be run here"),
        ([("StaticEmbedding", "")], "StaticEmbedding cannot be run here"),
        ([("Transformer", "0_Transformer"), ("Pooling", "1_Pooling")], "in its folder '0_Transf"),
        ([("Pooling", "1_Pooling")], "no Pooling cannot|Pooling"),
    ],
)
def test_folders_without_a_configuration_name_their_modules(
    tmp_path: Path, modules: list[tuple[str, str]], said: str
) -> None:
    rows = [{"type": f"{ST}{kind}", "path": where} for kind, where in modules]
    (tmp_path / "modules.json").write_text(json.dumps(rows))
    for ask in (UniMoER.from_pretrained, UniMoER.from_backbone):
        with pytest.raises(BackboneError, match=said):
            ask(str(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_told(tiny_bert: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_bert, folder)
    (folder / name).write_text(POINTER)
    with pytest.raises(BackboneError, match=rf"{name} is a pointer of Git LFS .*git lfs pull"):
        UniMoER.from_pretrained(folder, device="cpu")


def test_a_pointer_in_the_place_of_pinned_weights(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_text(POINTER)
    with pytest.raises(BackboneError, match="git lfs pull"):
        check_digest(file, "0" * 64)
    file.write_text("something else")
    with pytest.raises(DigestMismatchError):
        check_digest(file, "0" * 64)
