"""What is written can be read back; what was damaged is refused by name and with a remedy."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from router_cases import COMBINATIONS
from safetensors.torch import load_file, save
from tiny_models import TEXTS, make_model

from unimoer_rag.errors import CheckpointError, DigestMismatchError
from unimoer_rag.model.io.checkpoint import CARD, CONFIG, WEIGHTS, parameters_by_name
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import EMBED, RERANK_CROSS, Task
from unimoer_rag.model.unimoer import UniMoER


def load(folder: Path) -> UniMoER:
    return UniMoER.from_pretrained(folder, device="cpu", dtype="float32")


@pytest.fixture
def saved(backbone_path, tmp_path) -> Path:
    return make_model(backbone_path("bert")).save_pretrained(tmp_path / "checkpoint")


def edit(folder: Path, **changes: object) -> None:
    """Change the configuration."""
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the tensors, digest and all."""
    data = save(tensors)
    (folder / WEIGHTS).write_bytes(data)
    edit(folder, weights_sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_saving_and_loading_loses_nothing(backbone_path, tmp_path, kind, router, gate) -> None:
    tasks = (
        EMBED.with_strength(0.7),
        RERANK_CROSS,
        Task("other", "late", ("shared",), max_tokens=32),
        Task("read", "span", ("read",)),
    )
    experts = {
        "shared": ExpertSpec(rank=3, alpha=6),
        "read": ExpertSpec(rank=2, alpha=1.5, layers=(1, 2)),
        "embed": ExpertSpec(rank=1, alpha=1),
        "rerank": ExpertSpec(rank=2, alpha=2),
    }
    model = make_model(
        backbone_path(kind),
        router=router,
        gate=gate,
        experts=experts,
        tasks=tasks,
        targets=("query", "value") if kind == "bert" else ("q_proj", "down_proj"),
        router_options={"k": 3} if router == "rank-wise" else {},
        query_instruction="Find: ",
    )
    folder = model.save_pretrained(tmp_path / "checkpoint")
    again = load(folder)
    assert (again.tasks, again.experts) == (model.tasks, model.experts)
    assert (again.spec.router, again.spec.gate) == (router, gate)
    assert (again.spec.targets, again.query_instruction) == (model.spec.targets, "Find: ")
    assert again.spec == model.spec
    for (name, old), new in zip(
        parameters_by_name(model).items(), parameters_by_name(again).values(), strict=True
    ):
        assert torch.equal(old, new), name
    np.testing.assert_array_equal(again.embed(TEXTS, "query"), model.embed(TEXTS, "query"))
    np.testing.assert_array_equal(
        again.score(TEXTS[0], TEXTS, task="other"), model.score(TEXTS[0], TEXTS, task="other")
    )
    assert again.read("who?", TEXTS) == model.read("who?", TEXTS)
    # Written again, it is the same checkpoint to the byte.
    second = again.save_pretrained(tmp_path / "second")
    for file in (CONFIG, WEIGHTS, CARD):
        assert (second / file).read_bytes() == (folder / file).read_bytes()


def test_the_layout_is_the_documented_table(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [CARD, CONFIG, WEIGHTS]
    tensors = load_file(saved / WEIGHTS)
    query = "encoder.layer.0.attention.self.query"
    assert tensors[f"experts.embed.{query}.lora_A.weight"].shape == (8, 32)
    assert tensors[f"experts.embed.{query}.lora_B.weight"].dtype == torch.float16
    assert tensors["router.weight"].dtype == torch.float32
    assert tensors["heads.rerank.maxsim"].shape == ()
    assert not any("base" in name or name.startswith("backbone") for name in tensors)
    config = json.loads((saved / CONFIG).read_text())
    assert config["peft_type"] == "UNIMOER"
    assert config["format_version"] == 1
    assert "from_pretrained" in (saved / CARD).read_text()


def test_a_model_card_that_is_there_is_kept(backbone_path, tmp_path) -> None:
    (tmp_path / CARD).write_text("mine")
    make_model(backbone_path("bert")).save_pretrained(tmp_path)
    assert (tmp_path / CARD).read_text() == "mine"


def test_a_backbone_is_found_from_another_working_directory(
    backbone_path, tmp_path, monkeypatch
) -> None:
    path = backbone_path("bert")
    monkeypatch.chdir(path.parent)
    model = UniMoER.from_backbone(path.name, device="cpu", dtype="float32")
    model.save_pretrained(tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    assert load(Path("checkpoint")).path == path.resolve()


# -- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 7, 0.5, -1])
def test_truncated_weights_are_refused(saved: Path, keep: float) -> None:
    data = (saved / WEIGHTS).read_bytes()
    (saved / WEIGHTS).write_bytes(data[: int(keep * len(data)) if keep == 0.5 else int(keep)])
    with pytest.raises(DigestMismatchError, match=r"adapter_model\.safetensors is damaged .* copy"):
        load(saved)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_bit_is_refused(saved: Path, place: int) -> None:
    data = bytearray((saved / WEIGHTS).read_bytes())
    data[place] ^= 1
    (saved / WEIGHTS).write_bytes(data)
    with pytest.raises(DigestMismatchError, match=WEIGHTS):
        load(saved)


@pytest.mark.slow
def test_bytes_that_are_no_safetensors_are_refused(saved: Path) -> None:
    for data in (b"", b"\xff" * 64, b"\x08\0\0\0\0\0\0\0{broken}"):
        (saved / WEIGHTS).write_bytes(data)
        edit(saved, weights_sha256=hashlib.sha256(data).hexdigest())
        with pytest.raises(CheckpointError, match=r"safetensors is no safetensors file .* copy"):
            load(saved)


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(saved: Path, file: str) -> None:
    (saved / file).unlink()
    with pytest.raises(CheckpointError, match=rf"{saved}.*({file}|neither a checkpoint)"):
        load(saved)


def test_tensors_of_another_shape_are_refused(saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS)
    name = next(name for name in tensors if "lora_B" in name)
    rewrite(saved, {**tensors, name: tensors[name][:-1].contiguous()})
    with pytest.raises(CheckpointError, match=rf"{name} has shape \(\d+, 8\), expected .* again"):
        load(saved)


def test_missing_and_unknown_tensors_are_counted(saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS)
    tensors["router.nope"] = tensors.pop("router.bias")
    rewrite(saved, tensors)
    with pytest.raises(
        CheckpointError, match=r"1 tensors missing \['router.bias'\], 1 unknown \['router.nope'\]"
    ):
        load(saved)


def test_values_that_are_not_finite_are_refused(saved: Path, backbone_path, tmp_path) -> None:
    tensors = load_file(saved / WEIGHTS)
    tensors["router.bias"][0, 0] = float("nan")
    rewrite(saved, tensors)
    with pytest.raises(CheckpointError, match=r"in router\.bias are not finite"):
        load(saved)
    model = make_model(backbone_path("bert"))
    with torch.no_grad():
        next(iter(model.routed_layers().values())).lora_B["read"].fill_(1e6)  # inf in float16
    with pytest.raises(CheckpointError, match=r"in experts\.read\.\S+ are not finite"):
        model.save_pretrained(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("", "is no JSON"),
        ("\x00\x01", "is no JSON"),
        ("[" * 100_000, "nested deeper than"),
        ("[]", "is not a unimoer checkpoint .*format 1"),
        ('{"peft_type": "LORA", "r": 8}', "is not a unimoer checkpoint .*import_expert"),
    ],
)
def test_a_configuration_that_is_none_is_refused(saved: Path, text: str, message: str) -> None:
    (saved / CONFIG).write_text(text)
    with pytest.raises(CheckpointError, match=rf"{CONFIG} .*{message}"):
        load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, r"format_version.*update unimoer-rag"),
        ({"surprise": 1}, "surprise"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"router": "oracle"}, "unknown router 'oracle'.*update unimoer-rag"),
        ({"gate": "oracle"}, "unknown gate 'oracle'"),
        ({"target_modules": ["nope"]}, "called nope"),
        ({"experts": {"embed": {"r": 0, "lora_alpha": 1}}}, r"experts\.embed\.r"),
        ({"experts": {"embed": {"r": 8, "lora_alpha": 16}}}, "names the expert 'shared'"),
        ({"num_hidden_layers": 6}, r"6 layers of width 32; .* has 3 of 32"),
        ({"base_model_sha256": "0" * 64}, r"trained on a backbone .* SHA-256 000.*original"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(saved: Path, change, message) -> None:
    edit(saved, **change)
    with pytest.raises(CheckpointError, match=message):
        load(saved)


def test_another_backbone_of_the_same_shape_is_refused(backbone_path, saved, tmp_path) -> None:
    from tiny_models import save_backbone

    edit(saved, base_model_name_or_path=str(save_backbone("bert", tmp_path / "twin", seed=9)))
    with pytest.raises(DigestMismatchError, match=r"twin/model\.safetensors.*original backbone"):
        load(saved)


def test_another_revision_of_a_pinned_backbone_is_refused(saved: Path) -> None:
    edit(saved, base_model_name_or_path="minilm", base_model_revision="0" * 40)
    with pytest.raises(CheckpointError, match="pins c9745ed1"):
        load(saved)


# -- writing that fails ---------------------------------------------------------------------


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can be longer than 1,000 bytes meanwhile."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(bert: UniMoER, saved, tmp_path) -> None:
    new = tmp_path / "new"
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    for target in (new, saved):
        said = re.escape(f"could not write {target / WEIGHTS} (File too large): free some")
        with full_disk(), pytest.raises(CheckpointError, match=said):
            bert.save_pretrained(target)
    assert list(new.iterdir()) == []
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named(bert: UniMoER, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"could not create the folder .*file/below"):
        bert.save_pretrained(tmp_path / "file" / "below")
    with pytest.raises(CheckpointError, match=r"could not create the folder .*file"):
        bert.save_pretrained(tmp_path / "file")
