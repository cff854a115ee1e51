"""Backbones known by name: what a name means, where its files come from, what is compared."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model.sentence_folders import save_published
from repository import ROOT, script

from unimoer_rag import UniMoER
from unimoer_rag.errors import BackboneError, CheckpointError, DigestMismatchError
from unimoer_rag.model.io import backbone as backbones
from unimoer_rag.model.io import building
from unimoer_rag.model.io.known import BACKBONES, BackboneSpec, canonical

# The names that the issue of modern backbones asks for, as people type them.
ASKED = [
    "sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-mpnet-base-v2",
    "MongoDB/mdbr-leaf-ir", "Snowflake/snowflake-arctic-embed-xs",
    "Snowflake/snowflake-arctic-embed-s", "Snowflake/snowflake-arctic-embed-m-v1.5",
    "Snowflake/snowflake-arctic-embed-m-v2.0", "BAAI/bge-small-en-v1.5", "BAAI/bge-base-en-v1.5",
    "intfloat/e5-small-v2", "intfloat/multilingual-e5-small",
    "ibm-granite/granite-embedding-30m-english", "ibm-granite/granite-embedding-small-english-r2",
    "answerdotai/answerai-colbert-small-v1", "lightonai/GTE-ModernColBERT-v1", "lightonai/LateOn",
    "lightonai/DenseOn", "google/embeddinggemma-300m", "Qwen/Qwen3-Embedding-0.6B",
    "Qwen/Qwen3-Embedding-4B", "cross-encoder/ms-marco-MiniLM-L6-v2",
    "cross-encoder/ettin-reranker-32m-v1", "jhu-clsp/ettin-encoder-32m", "Qwen/Qwen3-0.6B-Base",
    "Qwen/Qwen3-4B-Base", "mistralai/Mistral-7B-v0.3",
]  # fmt: skip


@pytest.mark.parametrize("repo", ASKED)
def test_a_repository_is_its_name(repo: str) -> None:
    assert BACKBONES[canonical(repo)].repo == repo
    assert canonical(repo.upper()) == canonical(repo)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_pin_is_a_commit_and_what_it_gives_is_known(name: str) -> None:
    spec = BACKBONES[name]
    assert name == name.lower() == canonical(name)
    assert re.fullmatch(r"[0-9a-f]{40}", spec.revision)
    assert spec.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", spec.sha256)
    # A pin was compared with the bytes, or says where it was read.
    assert bool(spec.source) != (spec.sha256 is not None)
    assert (spec.dimension is not None) == (spec.kind in ("embedding", "late"))
    assert not spec.dimensions or max(spec.dimensions) == spec.dimension


@given(st.text(max_size=40))
def test_other_names_stay_what_they_are(name: str) -> None:
    assert canonical(name) in {name, *BACKBONES}
    assert canonical(f"./{name}") == f"./{name}"


def test_a_folder_goes_before_a_repository_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "BAAI" / "bge-small-en-v1.5").mkdir(parents=True)
    for name in ("bge-base-en-v1.5", "minilm"):
        (tmp_path / name).mkdir()
    assert canonical("BAAI/bge-small-en-v1.5") == "./BAAI/bge-small-en-v1.5"
    assert canonical("bge-small-en-v1.5") == "bge-small-en-v1.5"
    assert canonical("bge-base-en-v1.5") == "./bge-base-en-v1.5"
    assert canonical("minilm") == "minilm"  # which was a pin before there were others


def test_a_pin_is_no_other_commit() -> None:
    spec = BACKBONES["e5-small-v2"]
    with pytest.raises(
        CheckpointError, match=f"e5-small-v2 is {spec.repo} at {spec.revision}, not"
    ):
        UniMoER.from_pretrained("intfloat/e5-small-v2", revision="a" * 40)
    with pytest.raises(CheckpointError, match="the name of the model is empty"):
        UniMoER.from_pretrained("")
    with pytest.raises(CheckpointError, match=r"there is no folder \./nowhere"):
        UniMoER.from_pretrained("./nowhere")


def test_the_last_part_of_a_repository_is_a_name() -> None:
    assert canonical("all-MiniLM-L6-v2") == "minilm"
    assert canonical("GTE-ModernColBERT-v1") == "gte-moderncolbert-v1"


def test_what_cannot_be_run_is_refused_with_the_reason() -> None:
    with pytest.raises(BackboneError, match=r"arctic-embed-m-v2\.0.*code in its own folder"):
        UniMoER.from_pretrained("Snowflake/snowflake-arctic-embed-m-v2.0")


def test_without_a_hub_the_error_says_what_to_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIMOER_BACKBONES", raising=False)
    spec = BACKBONES["bge-small-en-v1.5"]
    with pytest.raises(BackboneError, match=f"{spec.repo} at {spec.revision}.*UNIMOER_BACKBONES"):
        UniMoER.from_pretrained("BAAI/bge-small-en-v1.5")


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackboneSpec:
    """A tiny model that stands for e5-small-v2 in a folder of copies."""
    save_published("bert", tmp_path / "made")
    folder = next(p.parent for p in tmp_path.rglob("modules.json"))
    shutil.copytree(folder, tmp_path / "copies" / "e5-small-v2")
    monkeypatch.setenv("UNIMOER_BACKBONES", str(tmp_path / "copies"))
    spec = replace(BACKBONES["e5-small-v2"], dimension=32, dimensions=(32, 16))
    names = {**BACKBONES, "e5-small-v2": spec}
    monkeypatch.setattr(backbones, "BACKBONES", names)
    monkeypatch.setattr(building, "BACKBONES", names)
    return spec


def test_a_copy_is_read_and_gets_the_prompts_that_its_folder_does_not_say(
    known: BackboneSpec,
) -> None:
    model = UniMoER.from_pretrained("intfloat/e5-small-v2", device="cpu", dtype="float32")
    assert model.query_instruction == "query: "
    assert model.document_instruction == "passage: "
    bare = model.embed(["query: Paris"], "document", instruction="")
    assert bare == pytest.approx(model.embed(["Paris"], "query"), abs=1e-6)
    assert UniMoER.from_pretrained("e5-small-v2", device="cpu", dtype="float32") is model
    # The same bytes by their folder are the same model, once its prompts are.
    said = {"query_instruction": "query: ", "document_instruction": "passage: "}
    by_folder = UniMoER.from_backbone(str(model.path), device="cpu", dtype="float32", **said)
    assert by_folder.checkpoint_digest == model.checkpoint_digest
    short = model.embed(["Paris"], dimensions=16)[0]
    whole = model.embed(["Paris"])[0][:16]
    assert short == pytest.approx(whole / np.linalg.norm(whole), abs=1e-6)


def test_another_models_files_are_refused(
    known: BackboneSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change, error, said in (
        ({"dimension": 384}, BackboneError, "embeds in 384 dimensions, and the files .* in 32"),
        ({"sha256": "0" * 64}, DigestMismatchError, "expected 0000"),
    ):
        names = {**BACKBONES, "e5-small-v2": replace(known, **change)}
        monkeypatch.setattr(backbones, "BACKBONES", names)
        monkeypatch.setattr(building, "BACKBONES", names)
        with pytest.raises(error, match=said):
            UniMoER.from_backbone("e5-small-v2", device="cpu", dtype="float32")


def test_the_table_of_names_is_that_of_the_pins() -> None:
    page = (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
    assert script("generate_backbone_docs").render(page) == page
