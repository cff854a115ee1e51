"""An expert as a plain LoRA adapter: PEFT's own model gives our hidden states."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TEXTS, make_model, randomise
from torch import Tensor
from transformers import AutoModel

from unimoer_rag.errors import CheckpointError, InputError, MissingExtraError
from unimoer_rag.model.io.checkpoint import CONFIG, WEIGHTS
from unimoer_rag.model.io.peft_adapters import adapter_shape, export_expert, import_expert
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.layers.merged import constant_weights
from unimoer_rag.model.routers import GATES
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER

peft = pytest.importorskip("peft", reason="needs the extra: pip install 'unimoer-rag[peft]'")
# peft 0.21 asks transformers for a property that transformers 5 is renaming.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

EXPERTS = {"one": ExpertSpec(rank=4, alpha=8), "two": ExpertSpec(rank=2, alpha=3)}
ALONE = Task("alone", "vector", ("one",), strength=0.6)
BOTH = Task("both", "vector", ("one", "two"), strength=0.8)
EMBED = Task("embed", "vector", ("two",))


def tiny(path: Path, router: str = "task-explicit", **options) -> UniMoER:
    options = {"experts": EXPERTS, "tasks": [EMBED, ALONE, BOTH], **options}
    return make_model(path, router=router, **options)


def ours(model: UniMoER, task: str) -> tuple[Tensor, dict[str, Tensor]]:
    batch = model.collate(model.rows.single(TEXTS, model.task(task)))
    inputs = {"input_ids": batch.ids, "attention_mask": batch.mask.long()}
    with torch.inference_mode():
        return model(batch).hidden[batch.mask], inputs


def theirs(path: Path, folders: list[Path], inputs: dict[str, Tensor]) -> Tensor:
    backbone = AutoModel.from_pretrained(str(path), dtype=torch.float32)
    wrapped = peft.PeftModel.from_pretrained(backbone, str(folders[0]))
    for folder in folders[1:]:
        wrapped.load_adapter(str(folder), adapter_name=folder.name)
    wrapped.base_model.set_adapter(["default", *(folder.name for folder in folders[1:])])
    with torch.inference_mode():
        return wrapped.eval()(**inputs).last_hidden_state[inputs["attention_mask"].bool()]


@pytest.mark.parametrize("router", ["task-explicit", "per-layer"])
@pytest.mark.parametrize("kind", ["bert", "modernbert", "qwen3"])
def test_a_task_of_one_expert_is_that_adapter(backbone_path, tmp_path, kind, router) -> None:
    model = tiny(backbone_path(kind), router)
    expected, inputs = ours(model, "alone")
    folder = export_expert(model, "one", tmp_path / "one", task="alone")
    found = theirs(backbone_path(kind), [folder], inputs)
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)
    silent, _ = ours(make_model(backbone_path(kind), trained=False), "embed")
    assert not torch.allclose(found, silent, atol=1e-2)


@pytest.mark.parametrize("gate", GATES)
def test_adapters_of_all_a_tasks_experts_sum_to_it(backbone_path, tmp_path, gate) -> None:
    model = tiny(backbone_path("bert"), gate=gate)
    expected, inputs = ours(model, "both")
    folders = [export_expert(model, e, tmp_path / e, task="both") for e in ("one", "two")]
    found = theirs(backbone_path("bert"), folders, inputs)
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)


def test_constant_weights_are_those_of_the_forward(backbone_path) -> None:
    model = tiny(backbone_path("bert"))
    batch = model.collate(model.rows.single(TEXTS, model.task("both")))
    with torch.inference_mode():
        states = model(batch)
    weights = constant_weights(model, model.task("both"))
    torch.testing.assert_close(weights, torch.stack([w[0, 0] for w in states.weights]))


def test_without_a_task_the_expert_has_weight_one(backbone_path, tmp_path) -> None:
    model = tiny(backbone_path("bert"), router="per-layer")
    folder = export_expert(model, "two", tmp_path / "two")
    tensors = load_file(folder / WEIGHTS)
    for layer, routed in model.routed_layers().items():
        for side in ("lora_A", "lora_B"):
            stored = tensors[f"base_model.model.{layer}.{side}.weight"]
            assert torch.equal(stored, getattr(routed, side)["two"])
    config = json.loads((folder / CONFIG).read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 2, 3)
    assert set(config["target_modules"]) == set(model.routed_layers())
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


def test_an_export_that_could_not_be_exact_is_refused(backbone_path, tmp_path) -> None:
    model = tiny(backbone_path("bert"), router="per-layer")
    with pytest.raises(InputError, match=r"per-layer router weighs .*"):
        export_expert(model, "one", tmp_path / "no", task="both")
    with pytest.raises(InputError, match="does not use the expert 'two': it uses one"):
        export_expert(model, "two", tmp_path / "no", task="alone")
    with pytest.raises(InputError, match="no expert 'three': it has one, two"):
        export_expert(model, "three", tmp_path / "no")
    with pytest.raises(InputError, match="no task 'three'"):
        export_expert(model, "one", tmp_path / "no", task="three")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_import_brings_an_exported_expert_back(backbone_path, tmp_path, kind) -> None:
    model = tiny(backbone_path(kind))
    expected, _ = ours(model, "alone")
    export_expert(model, "one", tmp_path)
    other = randomise(tiny(backbone_path(kind)), seed=7)
    import_expert(other, "one", tmp_path)
    torch.testing.assert_close(ours(other, "alone")[0], expected, atol=1e-5, rtol=1e-5)


def save_lora(path: Path, folder: Path, *, seed: int = 0, **options) -> Path:
    """An adapter that PEFT itself made, filled at random."""
    config = peft.LoraConfig(r=4, lora_alpha=options.pop("lora_alpha", 16), **options)
    model = peft.get_peft_model(AutoModel.from_pretrained(str(path)), config)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("rslora", [False, True])
def test_a_foreign_adapter_gives_its_own_states(backbone_path, tmp_path, rslora) -> None:
    path = backbone_path("bert")
    folder = save_lora(path, tmp_path, target_modules=["query", "value"], use_rslora=rslora)
    model = tiny(path, tasks=[EMBED, Task("alone", "vector", ("one",))])
    import_expert(model, "one", folder)
    found, inputs = ours(model, "alone")
    torch.testing.assert_close(found, theirs(path, [folder], inputs), atol=5e-5, rtol=1e-5)


def trained(path: Path, folder: Path, **options) -> tuple[Path, Tensor, dict[str, Tensor]]:
    """An adapter as PEFT leaves it after a training: its folder, hidden states and their inputs."""
    model = peft.get_peft_model(
        AutoModel.from_pretrained(str(path), dtype=torch.float32), peft.LoraConfig(**options)
    )
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(str(folder))
    inputs = ours(tiny(path), "embed")[1]
    with torch.inference_mode():
        states = model.eval()(**inputs).last_hidden_state[inputs["attention_mask"].bool()]
    return folder, states, inputs


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "pissa", "use_rslora": True, "lora_alpha": 3},
        {"init_lora_weights": "olora", "rank_pattern": {"query": 2}},
        {"init_lora_weights": "orthogonal"},
        {"init_lora_weights": "gaussian", "use_rslora": True},
        {"rank_pattern": {"query": 2}},
        {"rank_pattern": {"layer.0.attention.self.query": 7, "query": 1}},
        {"alpha_pattern": {"value": 3}},
        {"alpha_pattern": {"^encoder.layer.1.attention.self.value": 5, "query": 1}},
        {"rank_pattern": {"value": 3}, "alpha_pattern": {"query": 2}},
        {"layers_to_transform": [1], "layers_pattern": "layer"},
        {"exclude_modules": ["encoder.layer.2.attention.self.query"], "lora_dropout": 0.3},
    ],
    ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items()),
)
def test_what_peft_computes_is_computed(backbone_path, tmp_path, options) -> None:
    path = backbone_path("bert")
    settings = {"r": 4, "lora_alpha": 6, "target_modules": ["query", "value"], **options}
    folder, expected, inputs = trained(path, tmp_path / "adapter", **settings)
    shape = adapter_shape(folder)
    model = tiny(path, experts={"one": shape.spec}, tasks=[Task("alone", "vector", ("one",))])
    import_expert(model, "one", folder)
    found, _ = ours(model, "alone")
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(theirs(path, [folder], inputs), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("init_lora_weights", "pissa_niter_4"),
        ("init_lora_weights", "corda"),
        ("init_lora_weights", "loftq"),
        ("init_lora_weights", "lora_ga"),
        ("init_lora_weights", "of next year"),
        ("bias", "all"),
        ("bias", "lora_only"),
        ("use_dora", True),
        ("lora_bias", True),
        ("fan_in_fan_out", True),
        ("modules_to_save", ["classifier"]),
        ("layer_replication", [[0, 2], [1, 3]]),
        ("trainable_token_indices", [1, 2]),
        ("target_parameters", ["weight"]),
        ("use_qalora", True),
        ("alora_invocation_tokens", [3]),
        ("megatron_config", {"x": 1}),
        ("arrow_config", {"x": 1}),
        ("a_setting_of_next_year", 1),
        ("another", "on"),
        ("rank_pattern", {"(a+)+": 3}),
        ("rank_pattern", ["query"]),
        ("rank_pattern", {"query": 0}),
        ("alpha_pattern", {"query": float("1e300")}),
        ("alpha_pattern", {"query": "much"}),
        ("r", 0),
        ("r", "4"),
        ("r", True),
        ("r", 10**12),
        ("lora_alpha", -1),
        ("lora_alpha", None),
        ("use_rslora", "yes"),
        ("peft_type", "LOHA"),
        ("peft_type", ["LORA"]),
    ],
)
def test_what_is_not_computed_is_refused_with_its_value(
    backbone_path, tmp_path, key: str, value: object
) -> None:
    path = backbone_path("bert")
    folder = save_lora(path, tmp_path, target_modules=["query"])
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, key: value}))
    for door in (lambda: adapter_shape(folder), lambda: import_expert(tiny(path), "one", folder)):
        with pytest.raises(CheckpointError) as refused:
            door()
        assert CONFIG in str(refused.value)
        assert key in str(refused.value) or key == "peft_type"
        shown = value if not isinstance(value, dict) else next(iter(value))
        assert str(shown).strip("[]'") in str(refused.value)


def test_what_peft_leaves_at_its_defaults_is_accepted(backbone_path, tmp_path) -> None:
    folder = save_lora(backbone_path("bert"), tmp_path, target_modules=["query"])
    config = json.loads((folder / CONFIG).read_text())
    config |= {"of_next_year": None, "also": False, "and": {}, "these": [], "words": ""}
    (folder / CONFIG).write_text(json.dumps(config))
    assert adapter_shape(folder).spec.rank == 4


def test_tensors_that_plain_lora_does_not_have_are_refused(backbone_path, tmp_path) -> None:
    path = backbone_path("bert")
    model, folder = tiny(path), save_lora(path, tmp_path, target_modules=["query"])
    tensors = load_file(folder / WEIGHTS)
    first = next(iter(tensors)).removesuffix(".lora_A.weight")
    odd = {
        f"{first}.lora_magnitude_vector": torch.ones(32),
        f"{first}.lora_B.bias": torch.ones(32),
        f"{first}.lora_A.default.weight": torch.ones(4, 32),
        "base_model.model.classifier.weight": torch.ones(2, 32),
        "base_model.model.embeddings.word_embeddings.lora_embedding_A": torch.ones(4, 8),
    }
    for name, tensor in odd.items():
        save_file({**tensors, name: tensor}, folder / WEIGHTS)
        with pytest.raises(CheckpointError, match=r"has the tensor '.*expected lora_A and lora_B"):
            import_expert(model, "one", folder)
    whole = {name: tensor.to(torch.int8) for name, tensor in tensors.items()}
    save_file(whole, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="of the dtype I8"):
        import_expert(model, "one", folder)


def test_an_adapter_of_the_model_with_a_head_fits(backbone_path, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    path = backbone_path("qwen3")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"])
    whole = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(str(path)), config)
    whole.save_pretrained(str(tmp_path))
    model = tiny(path)
    import_expert(model, "one", tmp_path)
    routed = model.routed_layers()["layers.1.self_attn.q_proj"]
    stored = load_file(tmp_path / WEIGHTS)
    key = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    assert torch.equal(routed.lora_A["one"], stored[key])


def test_adapters_that_do_not_fit_are_refused_untouched(backbone_path, tmp_path) -> None:
    path = backbone_path("bert")
    model = tiny(path, targets=("query",))
    before = {name: p.clone() for name, p in model.named_parameters()}
    good = save_lora(path, tmp_path / "good", target_modules=["query"])
    with pytest.raises(InputError, match=r"rank 4, the expert 'two' has 2: add one by model.add"):
        import_expert(model, "two", good)
    with pytest.raises(InputError, match=r"no expert 'three'.*model\.add_expert makes a new one"):
        import_expert(model, "three", good)
    wide = save_lora(path, tmp_path / "wide", target_modules=["query", "key"])
    with pytest.raises(CheckpointError, match=r"targets '.*key', which is no routed layer"):
        import_expert(model, "one", wide)
    dora = save_lora(path, tmp_path / "dora", target_modules=["query"], use_dora=True)
    with pytest.raises(CheckpointError, match="sets use_dora to True, which an expert cannot"):
        import_expert(model, "one", dora)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])


def test_damaged_adapters_are_refused(backbone_path, tmp_path) -> None:
    path = backbone_path("bert")
    model = tiny(path)
    folder = export_expert(model, "one", tmp_path / "one")
    tensors = load_file(folder / WEIGHTS)
    first, second = sorted(tensors)[:2]
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is missing: expected"):
        import_expert(model, "one", tmp_path)
    save_file({**tensors, first: tensors[first][:, :5].contiguous()}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"has shape .* of another backbone"):
        import_expert(model, "one", folder)
    save_file({**tensors, second: tensors[second] * float("nan")}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="not finite"):
        import_expert(model, "one", folder)
    save_file({name: t for name, t in tensors.items() if name != first}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="expected lora_A and lora_B"):
        import_expert(model, "one", folder)
    (folder / WEIGHTS).write_bytes(b"short")
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        import_expert(model, "one", folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="save the adapter with peft as safetensors"):
        import_expert(model, "one", folder)
    for text in ("{", "[]", '{"peft_type": "NOPE"}', '{"r": 4}'):
        (folder / CONFIG).write_text(text)
        with pytest.raises(CheckpointError, match=CONFIG):
            import_expert(model, "one", folder)
    whole = model.save_pretrained(tmp_path / "whole")
    with pytest.raises(CheckpointError, match=CONFIG):
        import_expert(model, "one", whole)


def test_writing_needs_peft_and_reading_does_not(backbone_path, tmp_path, monkeypatch) -> None:
    model = tiny(backbone_path("bert"))
    folder = export_expert(model, "one", tmp_path / "one")
    before = model.embed(TEXTS)
    monkeypatch.setitem(sys.modules, "peft", None)  # what Python itself does to block an import
    with pytest.raises(MissingExtraError, match=r"pip install 'unimoer-rag\[peft\]'"):
        export_expert(model, "one", tmp_path / "two")
    import_expert(model, "one", folder)
    np.testing.assert_array_equal(model.embed(TEXTS), before)
