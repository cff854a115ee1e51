"""What a router can be told, and what it says where it cannot work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import CORPUS, TEXTS, make_model

from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.model.io.checkpoint import CONFIG
from unimoer_rag.model.pilots import fit_pilots
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER


@pytest.mark.parametrize(("options", "ranks"), [({}, 4), ({"k": 1}, 1), ({"k": 5}, 5)])
def test_rank_wise_takes_k_ranks_a_token(backbone_path, options, ranks) -> None:
    model = make_model(backbone_path("bert"), router="rank-wise", router_options=options)
    with torch.inference_mode():
        states = model(model.collate(model.rows.single(TEXTS, model.task("embed"))))
    for decision in states.routing:
        assert decision.ranks.shape[-1] == 16  # two experts of rank 8
        assert ((decision.ranks > 0).sum(-1) == ranks).all()


def test_the_hidden_layer_of_an_mlp_has_its_size(backbone_path) -> None:
    model = make_model(backbone_path("bert"), router="mlp", router_options={"hidden": 5})
    assert model.router.down.shape == (3, 5, 32)
    for wrong in (0, True):
        with pytest.raises(InputError, match=r"hidden is .*expected a whole number above 0"):
            make_model(backbone_path("bert"), router="mlp", router_options={"hidden": wrong})


def test_k_above_what_a_task_has_takes_all_of_it(backbone_path) -> None:
    model = make_model(backbone_path("bert"), router="rank-wise", router_options={"k": 99})
    with torch.inference_mode():
        states = model(model.collate(model.rows.single(TEXTS, model.task("embed"))))
    assert ((states.routing[0].ranks > 0).sum(-1) == 16).all()


@pytest.mark.parametrize("k", [0, -1, True, 2.5, "3"])
def test_a_k_that_cannot_be_is_refused(backbone_path, k) -> None:
    with pytest.raises(InputError, match=r"k is .*expected a whole number above 0"):
        make_model(backbone_path("bert"), router="rank-wise", router_options={"k": k})


@pytest.mark.parametrize("router", ROUTERS)
def test_an_unknown_option_is_named_with_the_choices(backbone_path, router) -> None:
    choices = {"rank-wise": "k", "mlp": "hidden"}.get(router, "none")
    with pytest.raises(InputError, match=f"{router} router has no option size: it has {choices}"):
        make_model(backbone_path("bert"), router=router, router_options={"size": 3})


def test_an_option_is_part_of_the_checkpoint(backbone_path, tmp_path) -> None:
    model = make_model(backbone_path("bert"), router="rank-wise", router_options={"k": 3})
    folder = model.save_pretrained(tmp_path / "checkpoint")
    again = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    assert again.spec.router_options == {"k": 3}
    np.testing.assert_array_equal(again.embed(TEXTS), model.embed(TEXTS))
    text = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(text.replace('"k": 3', '"q": 3'))
    with pytest.raises(CheckpointError, match="rank-wise router has no option q: it has k"):
        UniMoER.from_pretrained(folder, device="cpu", dtype="float32")


# -- similarity ---------------------------------------------------------------------------------


def test_the_text_most_like_the_pilots_decides(backbone_path) -> None:
    model = make_model(backbone_path("bert"), trained=False, router="similarity")
    fit_pilots(model, {"shared": [CORPUS[0], TEXTS[0]], "embed": [CORPUS[1]], "read": TEXTS}, n=2)
    # The means by way of the model's own embeddings, whose experts are silent.
    task = model.task("embed").with_strength(0)
    model.change_task(task)
    means = [model.embed([CORPUS[0], TEXTS[0]]).mean(0), model.embed([CORPUS[1]]).mean(0)]
    np.testing.assert_allclose(model.router.pilots[:2].numpy(), means, atol=1e-6)
    np.testing.assert_allclose(model.router.pilots[3].numpy(), model.embed(TEXTS[:2]).mean(0))
    assert not model.router.pilots[2].any()
    expected = (model.embed(CORPUS) @ np.array(means).T).argmax(-1)
    rows = model.rows.single(CORPUS, task.with_strength(1))
    with torch.inference_mode():
        states = model(model.collate(rows))
    for weights in states.weights:
        np.testing.assert_array_equal(weights[:, 0].numpy(), np.eye(2)[expected])
    assert set(expected) == {0, 1}


def test_an_expert_without_pilots_is_missed_where_there_is_a_choice(backbone_path) -> None:
    tasks = [
        Task("embed", "vector", ("embed", "shared")),
        Task("alone", "vector", ("embed",)),
    ]
    model = make_model(backbone_path("bert"), trained=False, router="similarity", tasks=tasks)
    with pytest.raises(InputError, match=r"no pilot texts for shared, embed: .*fit_pilots\("):
        model.embed(TEXTS)
    fit_pilots(model, {"embed": TEXTS})
    with pytest.raises(InputError, match="no pilot texts for shared:"):
        model.embed(TEXTS)
    with torch.inference_mode():
        states = model(model.collate(model.rows.single(TEXTS, model.task("alone"))))
    assert all((weights == 1).all() for weights in states.weights)


def test_pilots_that_cannot_be_are_refused(backbone_path) -> None:
    other = make_model(backbone_path("bert"), trained=False)
    with pytest.raises(InputError, match="this model's is per-layer"):
        fit_pilots(other, {"embed": TEXTS})
    model = make_model(backbone_path("bert"), trained=False, router="similarity")
    for texts, n in (({"embedding": TEXTS}, 3), ({"embed": []}, 3), ({"embed": TEXTS}, 0)):
        with pytest.raises(InputError, match="among shared, embed, rerank, read"):
            fit_pilots(model, texts, n)
    with pytest.raises(InputError, match="document 1 is empty"):
        fit_pilots(model, {"shared": TEXTS, "embed": ["a", " "]})
    assert not model.router.pilots.any()


# -- mole ---------------------------------------------------------------------------------------


def test_mole_needs_a_linear_layer_that_reads_the_backbones_states(backbone_path) -> None:
    with pytest.raises(InputError, match=r"layer 0 has no routed linear with 32 inputs"):
        make_model(backbone_path("qwen3"), router="mole", targets=("down_proj",))


def test_no_gradient_reaches_the_experts_through_moles_gate(backbone_path) -> None:
    model = make_model(backbone_path("bert"), router="mole", gate="softmax")
    states = model(model.collate(model.rows.single(TEXTS, model.task("embed"))))
    states.weights[0][..., 0].sum().backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"router.weight.0", "router.log_temperature"}


# -- experts that come and go -------------------------------------------------------------------


@pytest.mark.parametrize("router", ROUTERS)
def test_removing_an_expert_leaves_the_others_entries(backbone_path, router) -> None:
    model = make_model(backbone_path("bert"), router=router)
    before = model.embed(TEXTS)
    for task in ("rerank", "rerank-cross"):
        model.remove_task(task)
    model.remove_expert("rerank")
    assert model.router.n_experts == 3
    np.testing.assert_array_equal(model.embed(TEXTS), before)


@pytest.mark.parametrize("router", ROUTERS)
def test_a_frozen_router_stays_frozen(backbone_path, router) -> None:
    model = make_model(backbone_path("bert"), router=router)
    model.router.requires_grad_(False)
    model.router.add_expert(3)
    model.router.remove_expert(0)
    assert not any(parameter.requires_grad for parameter in model.router.parameters())


def test_removing_a_task_forgets_its_constants(backbone_path) -> None:
    model = make_model(backbone_path("bert"), router="task-explicit")
    model.router.remove_task("read")
    assert "read" not in model.router.logits
    model.router.add_task("read")
    assert not model.router.logits["read"].any()
