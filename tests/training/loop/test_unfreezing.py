"""Gradual unfreezing: from the top down, without a trace in what still waits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model.tiny_models import TEXTS, make_model

from unimoer_rag.model.io.checkpoint import layer_of, parameters_by_name
from unimoer_rag.training.loop.unfreezing import GradualUnfreezing, unfrozen


def test_the_schedule_by_hand() -> None:
    course = [
        [layer for layer in range(4) if unfrozen(step, layer, layers=4, first=1, every=3)]
        for step in (0, 2, 3, 5, 6, 9, 100)
    ]
    assert course == [[3], [3], [2, 3], [2, 3], [1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 12), st.integers(1, 9))
def test_what_learns_goes_on_learning_and_lies_above(step, layers, first, every) -> None:
    learns = [unfrozen(step, at, layers=layers, first=first, every=every) for at in range(layers)]
    assert learns == sorted(learns)  # from some layer up to the top
    assert sum(learns) == min(layers, first + step // every)
    later = [
        unfrozen(step + 1, at, layers=layers, first=first, every=every) for at in range(layers)
    ]
    assert all(after or not before for before, after in zip(learns, later, strict=True))


def test_frozen_layers_keep_values_and_moments(tiny_bert) -> None:
    model = make_model(tiny_bert)
    named = parameters_by_name(model)
    before = {name: p.detach().clone() for name, p in named.items()}
    # Weight decay and momentum would move a parameter whose gradient is merely zero.
    optimizer = torch.optim.AdamW(named.values(), lr=1e-2, weight_decay=0.1)
    gradual = GradualUnfreezing(named, layers=model.n_layers, first=1, every=2)
    started: dict[str, int] = {}
    for step in range(6):
        batch = model.collate(model.rows.single(TEXTS, model.task("embed")))
        torch.stack(model.read_out(batch, model(batch).hidden))[:, 0].sum().backward()
        gradual.after_backward(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for name, parameter in named.items():
            if parameter in optimizer.state:
                started.setdefault(name, step)
            else:
                assert torch.equal(parameter, before[name])
    layers = {layer_of(n): at for n, at in started.items() if n.startswith("experts.embed.")}
    assert layers == {2: 0, 1: 2, 0: 4}
    assert started["router.weight"] == 0
    joined = next(n for n, at in started.items() if at == 4)
    assert optimizer.state[named[joined]]["step"] == 2  # its own count of updates


def test_an_expert_may_be_called_like_a_number() -> None:
    assert layer_of("experts.7.encoder.layer.11.attention.self.query.lora_A.weight") == 11


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
