"""Where an expert is: in which transformer layers, in which of their linear layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import TEXTS, make_model
from transformers import AutoModel

from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.model.describe import describe
from unimoer_rag.model.io.checkpoint import CONFIG, WEIGHTS
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import DEFAULT_TASKS, Task
from unimoer_rag.model.unimoer import UniMoER

EXPERTS = {
    "shared": ExpertSpec(rank=4, alpha=8),
    "embed": ExpertSpec(rank=2, alpha=2, layers=(2,)),
    "rerank": ExpertSpec(rank=2, alpha=2, targets=("query", "value")),
    "read": ExpertSpec(rank=2, alpha=2, targets=("dense",), layers=(0, 1)),
}


def placed(model: UniMoER, expert: str) -> set[tuple[int, str]]:
    """Layer and name of the linear layers that hold an expert."""
    return {
        (int(name.split(".")[2]), name.rpartition(".")[2])
        for name, linear in model.routed_layers().items()
        if expert in linear.lora_A
    }


def test_an_expert_is_where_its_specification_says(backbone_path, tmp_path) -> None:
    model = make_model(backbone_path("bert"), experts=EXPERTS)
    linears = ("query", "key", "value", "dense")
    assert placed(model, "shared") == {(i, n) for i in range(3) for n in linears}
    assert placed(model, "embed") == {(2, n) for n in linears}
    assert placed(model, "rerank") == {(i, n) for i in range(3) for n in ("query", "value")}
    assert placed(model, "read") == {(0, "dense"), (1, "dense")}
    sizes = {name: e["parameters"] for name, e in describe(model)["experts"].items()}
    assert sizes["rerank"] == 3 * 2 * (2 * 32 * 2)

    folder = model.save_pretrained(tmp_path / "checkpoint")
    tensors = [name for name in load_file(folder / WEIGHTS) if name.startswith("experts.read.")]
    assert len(tensors) == 2 * 3 * 2  # two layers; attention output, up and down; A and B
    config = json.loads((folder / CONFIG).read_text())["experts"]["read"]
    assert config == {"r": 2, "lora_alpha": 2.0, "targets": ["dense"], "layers": [0, 1]}
    again = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    assert again.experts == EXPERTS
    np.testing.assert_array_equal(again.embed(TEXTS), model.embed(TEXTS))
    assert again.read("who?", TEXTS) == model.read("who?", TEXTS)


def test_a_layer_shares_its_weight_among_the_experts_it_has(backbone_path) -> None:
    model = make_model(backbone_path("bert"), experts=EXPERTS, gate="softmax")
    with torch.inference_mode():
        states = model(model.collate(model.rows.single(TEXTS, model.task("embed"))))
    assert states.experts == ("shared", "embed")
    for weights in states.weights[:2]:
        assert (weights[..., 0] == 1).all()
        assert (weights[..., 1] == 0).all()
    last = states.weights[2]
    assert (last > 0).all()
    torch.testing.assert_close(last.sum(-1), torch.ones(last.shape[:2]))


def test_a_row_whose_experts_are_elsewhere_passes_a_layer_as_it_is(backbone_path) -> None:
    alone = (Task("embed", "vector", ("embed",)),)
    model = make_model(backbone_path("bert"), experts=EXPERTS, tasks=alone)
    bare = AutoModel.from_pretrained(str(backbone_path("bert")), dtype=torch.float32).eval()
    batch = model.collate(model.rows.single(TEXTS, model.task("embed")))
    with torch.inference_mode():
        given = bare(
            input_ids=batch.ids,
            attention_mask=batch.mask.long(),
            token_type_ids=batch.types,
            output_hidden_states=True,
        ).hidden_states
        seen: list[torch.Tensor] = []
        handle = model.layers[2].register_forward_pre_hook(lambda m, args: seen.append(args[0]))
        hidden = model(batch).hidden
        handle.remove()
    assert torch.equal(seen[0], given[2])
    assert not torch.allclose(hidden, given[3], atol=1e-2)


def test_what_is_added_later_is_placed_too(backbone_path) -> None:
    model = make_model(backbone_path("bert"), experts=EXPERTS)
    before = model.embed(TEXTS)
    with pytest.raises(InputError, match=r"'new' targets keys, .* expected some of dense, key"):
        model.add_expert("new", ExpertSpec(rank=2, alpha=2, targets=("keys",)))
    with pytest.raises(InputError, match=r"'new' is placed in .* \[3\]: expected numbers from 0"):
        model.add_expert("new", ExpertSpec(rank=2, alpha=2, layers=(3,)))
    assert "new" not in model.experts
    assert model.router.n_experts == 4
    model.add_expert("new", ExpertSpec(rank=2, alpha=2, targets=("key",), layers=(1,)))
    assert placed(model, "new") == {(1, "key")}
    np.testing.assert_array_equal(model.embed(TEXTS), before)


@pytest.mark.parametrize(
    ("targets", "paths"),
    [
        (("attention",), {"self.query", "self.key", "self.value", "output.dense"}),
        (("intermediate", "output"), {"intermediate.dense", "output.dense"}),
        (("output.dense",), {"output.dense"}),
        (("dense",), {"attention.output.dense", "intermediate.dense", "output.dense"}),
    ],
)
def test_targets_are_names_paths_or_blocks(
    backbone_path, targets: tuple[str, ...], paths: set[str]
) -> None:
    wanted = {f"attention.{p}" for p in paths} if targets == ("attention",) else paths
    task = Task("embed", "vector", ("shared",))
    by_expert = {"shared": ExpertSpec(rank=2, alpha=2, targets=targets)}
    placing = make_model(backbone_path("bert"), experts=by_expert, tasks=[task])
    anywhere = {"shared": ExpertSpec(rank=2, alpha=2)}
    routing = make_model(backbone_path("bert"), experts=anywhere, tasks=[task], targets=targets)
    for model in (placing, routing):
        having = [n for n, m in model.routed_layers().items() if "shared" in m.lora_A]
        assert {name.partition("layer.0.")[2] for name in having if ".0." in name} == wanted


def test_a_target_that_the_model_does_not_route_is_refused(backbone_path) -> None:
    experts = {"shared": ExpertSpec(rank=2, alpha=2, targets=("key",))}
    task = Task("embed", "vector", ("shared",))
    with pytest.raises(InputError, match=r"'shared' targets key, .* expected some of query"):
        make_model(backbone_path("bert"), experts=experts, tasks=[task], targets=("query",))


def test_mola_gives_higher_layers_more_experts(backbone_path) -> None:
    """MoLA: 2, 4, 6 and 8 experts in the quarters of the depth, the best two of each token."""
    n_layers = 3
    counts = [(2, 4, 6, 8)[at * 4 // n_layers] for at in range(n_layers)]
    experts = {
        f"e{i}": ExpertSpec(
            rank=2, alpha=4, layers=tuple(at for at in range(n_layers) if i < counts[at])
        )
        for i in range(max(counts))
    }
    model = make_model(
        backbone_path("bert"),
        experts=experts,
        tasks=[Task("embed", "vector", tuple(experts))],
        router="token",
        gate="top-k",
    )
    batch = model.collate(model.rows.single(TEXTS, model.task("embed")))
    with torch.inference_mode():
        states = model(batch)
    assert counts == [2, 4, 6]
    for weights, count in zip(states.weights, counts, strict=True):
        used = weights[batch.mask] > 0
        assert (used.sum(-1) == 2).all()
        assert used.any(0).sum() <= count
        assert not used[:, count:].any()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))


# -- as PEFT adapters ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("router", ["task-explicit", "switch"])
def test_placed_experts_are_peft_adapters(backbone_path, tmp_path: Path, router: str) -> None:
    peft = pytest.importorskip("peft", reason="needs the extra: pip install 'unimoer-rag[peft]'")
    from unimoer_rag.model.io.peft_adapters import export_expert, import_expert

    path = backbone_path("bert")
    tasks = [*DEFAULT_TASKS, Task("all", "vector", tuple(EXPERTS), strength=0.7)]
    model = make_model(path, experts=EXPERTS, tasks=tasks, router=router)
    batch = model.collate(model.rows.single(TEXTS, model.task("all")))
    with torch.inference_mode():
        expected = model(batch).hidden[batch.mask]
    folders = [export_expert(model, e, tmp_path / e, task="all") for e in EXPERTS]
    wrapped = peft.PeftModel.from_pretrained(
        AutoModel.from_pretrained(str(path), dtype=torch.float32), str(folders[0])
    )
    for folder in folders[1:]:
        wrapped.load_adapter(str(folder), adapter_name=folder.name)
    wrapped.base_model.set_adapter(["default", *(folder.name for folder in folders[1:])])
    with torch.inference_mode():
        found = wrapped.eval()(
            input_ids=batch.ids, attention_mask=batch.mask.long(), token_type_ids=batch.types
        ).last_hidden_state[batch.mask]
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-4)

    plain = export_expert(model, "read", tmp_path / "plain")
    other = make_model(path, experts=EXPERTS, trained=False)
    import_expert(other, "read", plain)
    for name, linear in model.routed_layers().items():
        if "read" in linear.lora_A:
            assert torch.equal(other.routed_layers()[name].lora_B["read"], linear.lora_B["read"])
    with pytest.raises(CheckpointError, match=r"no routed layer .* that has the expert 'embed'"):
        import_expert(other, "embed", plain)


def test_ranks_that_are_weighed_one_by_one_are_no_adapter(backbone_path, tmp_path) -> None:
    pytest.importorskip("peft", reason="needs the extra: pip install 'unimoer-rag[peft]'")
    from unimoer_rag.model.io.peft_adapters import export_expert

    model = make_model(
        backbone_path("bert"), router="rank-wise", tasks=[Task("embed", "vector", ("embed",))]
    )
    with pytest.raises(InputError, match="rank-wise router weighs the experts of 'embed' by the"):
        export_expert(model, "embed", tmp_path / "no", task="embed")
    assert export_expert(model, "embed", tmp_path / "one").is_dir()
