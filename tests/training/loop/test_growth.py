"""Growth of ranks: saliency by hand, silence of what waits, the budget, and resuming."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from model.tiny_models import TEXTS, make_model

from unimoer_rag.errors import TrainingError
from unimoer_rag.model.io.checkpoint import layer_of, parameters_by_name
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.loop.growth import RankGrowth
from unimoer_rag.training.loop.routing_record import RoutingRecord

EXPERTS = {"shared": ExpertSpec(4, 8), "embed": ExpertSpec(4, 8), "rerank": ExpertSpec(2, 4)}


@pytest.fixture
def model(tiny_bert) -> UniMoER:
    from unimoer_rag.model.tasks import EMBED, RERANK

    return make_model(tiny_bert, experts=EXPERTS, tasks=[EMBED, RERANK])


def backward(model: UniMoER) -> dict[str, torch.Tensor]:
    """One backward pass of both tasks; the routing of it."""
    rows = model.rows.single(TEXTS, model.task("embed"))
    rows += model.rows.single(TEXTS[:2], model.task("rerank"))
    batch = model.collate(rows)
    states = model(batch)
    outputs = model.read_out(batch, states.hidden)
    loss = torch.stack(outputs[:4])[:, 0].sum()
    loss = loss + model.heads["rerank"].compare(outputs[4], outputs[5:]).sum()
    loss.backward()
    record = RoutingRecord(model)
    record.add(batch, states)
    return record.by_expert()


def growth(model: UniMoER, **options: object) -> RankGrowth:
    kept = {"experts": EXPERTS, "initial": 1, "budget": 0.6, "every": 2, "steps": 10, **options}
    return RankGrowth(parameters_by_name(model), **kept)  # type: ignore[arg-type]


def test_saliency_equals_an_independent_computation(model: UniMoER) -> None:
    growing = growth(model)
    growing.before_step(0)
    routing = backward(model)
    wanted: dict[tuple[str, int], float] = defaultdict(float)
    for name, p in parameters_by_name(model).items():
        if name.startswith("experts."):
            product = np.abs(p.detach().numpy() * p.grad.numpy())
            first = product[:1] if "lora_A" in name else product[:, :1]
            wanted[name.split(".")[1], layer_of(name)] += float(first.sum())
    growing.after_backward(0, routing)
    state = growing.state()
    keys = sorted(wanted)
    np.testing.assert_allclose(
        state["sensitivity"].numpy(), [0.1 * wanted[key] for key in keys], rtol=1e-4
    )
    np.testing.assert_allclose(
        state["frequency"].numpy(), [0.1 * float(routing[e][at]) for e, at in keys], rtol=1e-5
    )


def test_inactive_ranks_are_silent_and_get_no_gradient(model: UniMoER) -> None:
    growing = growth(model)
    named = parameters_by_name(model)
    optimizer = torch.optim.AdamW(named.values(), lr=1e-2, weight_decay=0.0)
    waiting = {n: p.detach()[1:].clone() for n, p in named.items() if ".lora_A." in n}
    for step in range(2):
        growing.before_step(step)
        growing.after_backward(step, backward(model))
        for name, p in named.items():
            if ".lora_A." in name and p.grad is not None:
                assert (p.grad[1:] == 0).all()
                assert (p.grad[:1] != 0).any()
            elif ".lora_B." in name and p.grad is not None:
                assert (p.grad[:, 1:] == 0).all()
        optimizer.step()
        optimizer.zero_grad()
        assert all((p[:, 1:] == 0).all() for n, p in named.items() if ".lora_B." in n)
        for name, rows in waiting.items():
            assert torch.equal(named[name][1:], rows)
    # What is silent could as well not be there: cut off, the model embeds the same.
    kept = model.embed(TEXTS)
    with torch.no_grad():
        for name in waiting:
            named[name][1:] = 0
    np.testing.assert_array_equal(model.embed(TEXTS), kept)


def train(model: UniMoER, growing: RankGrowth, steps: range) -> list[dict[tuple[str, int], int]]:
    course = []
    optimizer = torch.optim.SGD(parameters_by_name(model).values(), lr=1e-2)
    for step in steps:
        growing.before_step(step)
        growing.after_backward(step, backward(model))
        optimizer.step()
        optimizer.zero_grad()
        growing.after_update(step)
        course.append(growing.active)
    return course


@pytest.mark.slow
def test_ranks_go_to_the_most_salient_until_the_budget_is_spent(model: UniMoER) -> None:
    growing = growth(model)
    start = growing.active
    assert set(start.values()) == {1}
    assert len(start) == 9  # three experts in three layers
    course = train(model, growing, range(10))
    sizes = [sum(active.values()) for active in course]
    # 18 of 30 ranks in 4 growths, after the steps 2, 4, 6 and 8: portions of 3.
    assert sizes == [9, 12, 12, 15, 15, 18, 18, 18, 18, 18]
    for before, after in pairwise(course):
        assert all(after[key] >= before[key] for key in before)
    assert all(n <= EXPERTS[expert].rank for (expert, _), n in course[-1].items())
    assert len(set(course[-1].values())) > 1  # not dealt out evenly


def test_the_first_growth_picks_the_largest_saliencies(model: UniMoER) -> None:
    growing = growth(model)
    train(model, growing, range(1))
    growing.before_step(1)
    growing.after_backward(1, backward(model))
    state = growing.state()
    saliency = (state["frequency"] * state["sensitivity"]).tolist()
    best = sorted(range(9), key=lambda at: -saliency[at])[:3]
    growing.after_update(1)
    ranks = growing.state()["ranks"].tolist()
    assert [at for at in range(9) if ranks[at] == 2] == sorted(best)


def test_a_full_budget_makes_every_rank_active(model: UniMoER) -> None:
    course = train(model, growth(model, budget=1.0, every=1, steps=3), range(3))
    assert all(n == EXPERTS[expert].rank for (expert, _), n in course[-1].items())


@pytest.mark.slow
def test_a_resumed_run_grows_as_an_uninterrupted_one(tiny_bert, model: UniMoER) -> None:
    course = train(model, growth(model), range(10))
    from unimoer_rag.model.tasks import EMBED, RERANK

    other = make_model(tiny_bert, experts=EXPERTS, tasks=[EMBED, RERANK])
    half = growth(other)
    train(other, half, range(5))
    state = half.state()
    resumed = growth(other)
    resumed.load(state)
    assert train(other, resumed, range(5, 10)) == course[5:]
    for name, p in parameters_by_name(model).items():
        assert torch.equal(p, parameters_by_name(other)[name])


def test_experts_that_do_not_learn_take_no_part(model: UniMoER) -> None:
    growing = growth(model, experts=["embed", "rerank"])
    assert {expert for expert, _ in growing.active} == {"embed", "rerank"}
    before = model.embed(TEXTS)
    growing.before_step(0)
    assert not np.array_equal(model.embed(TEXTS), before)  # a trained expert was cut down
    kept = [layer.lora_B["shared"] for layer in model.routed_layers().values()]
    assert all(bool(up.all()) for up in kept)


def test_what_cannot_grow(model: UniMoER) -> None:
    with pytest.raises(TrainingError, match=r"30 ranks.*allows 18 of 30"):
        growth(model, initial=4)
    with pytest.raises(TrainingError, match="every 10 steps, in a run of 10"):
        growth(model, every=10)
    with pytest.raises(TrainingError, match="does not fit"):
        growth(model).load({"ranks": torch.ones(2)})
    with pytest.raises(TrainingError, match="no expert learns"):
        growth(model, experts=[])
