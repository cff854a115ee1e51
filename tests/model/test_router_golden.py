"""Every router against a second computation: numpy, float64, loops over rows, no masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import erf, sqrt

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from router_cases import COMBINATIONS
from tiny_models import TEXTS, make_model
from transformers import AutoModel

from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.unimoer import UniMoER

Array = NDArray[np.float64]
EXPERTS = {
    "shared": ExpertSpec(rank=4, alpha=8),
    "embed": ExpertSpec(rank=3, alpha=1),
    "rerank": ExpertSpec(rank=8, alpha=16, layers=(1, 2)),
}
TARGETS = {"bert": ("value", "dense"), "qwen3": ("q_proj", "down_proj")}


def norm(x: Array) -> Array:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


def softmax(u: Array) -> Array:
    e = np.exp(u - u.max())
    return e / e.sum()


def sparsegen(u: Array, lam: float) -> Array:
    """Try every size of the support."""
    for k in range(len(u), 0, -1):
        top = np.sort(u)[::-1][:k]
        tau = (top.sum() - 1 + lam) / k
        if top[-1] > tau:
            return np.maximum(0, u - tau) / (1 - lam)
    raise AssertionError


def tsallis(p: Array) -> Array:
    n = len(p)
    if n == 1 or (1 - (p**1.1).sum()) / (1 - n**-0.1) > 0.9:
        return p
    order = np.argsort(-p)
    kept = {
        int(i) for place, i in enumerate(order) if place < 2 or p[order[: place + 1]].sum() <= 0.75
    }
    return np.array([x if i in kept else 0.0 for i, x in enumerate(p)])


class Reference:
    """The routing of one model, computed again from its parameters."""

    def __init__(self, model: UniMoER, inputs: list[Array], bare: Array) -> None:
        self.model, self.inputs, self.bare = model, inputs, bare
        self.router = {n: p.detach().double().numpy() for n, p in model.router.named_parameters()}

    def pooled(self, states: Array, n: int) -> Array:
        return states[n - 1] if self.model.causal else states[:n].mean(0)

    def gate(self, u: Array, features: Array) -> Array:
        kind = self.model.spec.gate
        if kind == "softmax":
            return softmax(u)
        if kind == "tsallis":
            return tsallis(softmax(u))
        if kind == "top-k":
            kept = np.argsort(-u)[:2]
            return np.array(
                [
                    0.0 if i not in kept else x
                    for i, x in enumerate(np.exp(u - u.max()) / np.exp(u - u.max())[kept].sum())
                ]
            )
        g = self.router
        h = np.maximum(0, g["gate.hidden.weight"] @ features + g["gate.hidden.bias"])
        raw = float((g["gate.out.weight"] @ h + g["gate.out.bias"])[0])
        return sparsegen(u, -np.log1p(np.exp(-raw)) + 0.99)

    def weights(self, layer: int, row: int, token: int, n: int, task: str) -> dict[str, Array]:
        """Weight of each expert the row's task names and the layer has; by rank for rank-wise."""
        model, r = self.model, self.router
        here = [
            (i, e, spec)
            for i, (e, spec) in enumerate(model.experts.items())
            if e in model.task(task).experts and spec.in_layer(layer)
        ]
        at = [i for i, _, _ in here]
        named = [e for _, e, _ in here]
        state = self.inputs[layer][row]
        kind = model.spec.router
        if kind == "switch":
            return {e: np.ones(1) for e in named}
        if kind == "similarity":
            x = self.pooled(self.bare[row], n)
            best = int(np.argmax([r["pilots"][i] @ x for i in at]))
            return {e: np.array([float(i == best)]) for i, e in enumerate(named)}
        if kind == "rank-wise":
            return self.by_rank(layer, norm(state[token]), here)
        if kind == "task-explicit":
            features = r["features"]
            u = r[f"logits.{task}"][layer][at]
        elif kind == "mole":
            x = self.pooled(state, n)
            features = norm(x)
            u = self.mole(layer, x, here)
        elif kind == "mlp":
            features = norm(self.pooled(state, n))
            inner = r["down"][layer] @ features
            inner = np.array([0.5 * x * (1 + erf(x / sqrt(2))) for x in inner])
            u = (r["weight"][layer][at] @ inner + r["bias"][layer][at]) / np.exp(
                r["log_temperature"][layer]
            )
        else:
            features = norm(
                {
                    "per-layer": lambda: self.pooled(state, n),
                    "sequence": lambda: self.inputs[0][row][:n].mean(0),
                    "token": lambda: state[token],
                    "x-lora": lambda: self.bare[row][token],
                }[kind]()
            )
            w, b = r["weight"], r["bias"]
            if kind != "sequence":
                w, b = w[layer], b[layer]
            u = w[at] @ features + b[at]
        return dict(zip(named, self.gate(u, features)[:, None], strict=True))

    def mole(self, layer: int, x: Array, here: list[tuple[int, str, ExpertSpec]]) -> Array:
        name = "query" if not self.model.causal else "q_proj"
        linear = next(m for n, m in self.model.layers[layer].named_modules() if n.endswith(name))
        said = []
        for _, e, spec in here:
            if e in linear.lora_A:
                up = linear.lora_B[e].detach().double().numpy()
                down = linear.lora_A[e].detach().double().numpy()
                said.append(spec.alpha / spec.rank * (up @ down @ x))
            else:
                said.append(np.zeros(linear.base.out_features))
        length = np.sqrt(sum((o**2).sum() for o in said) + 1e-6)
        weight = self.router[f"weight.{layer}"]
        temperature = np.exp(self.router["log_temperature"][layer])
        return np.array(
            [
                sum(weight[b, a] @ o for (a, _, _), o in zip(here, said, strict=True))
                / length
                / temperature
                for b, _, _ in here
            ]
        )

    def by_rank(
        self, layer: int, features: Array, here: list[tuple[int, str, ExpertSpec]]
    ) -> dict[str, Array]:
        ends = np.cumsum([spec.rank for spec in self.model.experts.values()])
        owned = [(e, j) for i, e, spec in here for j in range(ends[i] - spec.rank, ends[i])]
        u = np.array(
            [
                self.router["weight"][layer, j] @ features + self.router["bias"][layer, j]
                for _, j in owned
            ]
        )
        kept = np.argsort(-u)[: max(1, len(u) // 4)]
        gated = np.zeros(len(u))
        gated[kept] = softmax(u[kept])
        return {
            name: np.array([g for (e, _), g in zip(owned, gated, strict=True) if e == name])
            for _, name, _ in here
        }


@contextmanager
def watched(model: UniMoER) -> Iterator[list[torch.Tensor]]:
    """The input of every transformer layer, as it passes."""
    seen: list[torch.Tensor] = []

    def look(module: object, args: tuple, kwargs: dict) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    handles = [x.register_forward_pre_hook(look, with_kwargs=True) for x in model.layers]
    yield seen
    for handle in handles:
        handle.remove()


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_the_weights_are_those_of_the_second_computation(
    backbone_path: Callable, kind: str, router: str, gate: str
) -> None:
    experts = {**EXPERTS, "read": ExpertSpec(rank=2, alpha=3, targets=TARGETS[kind])}
    model = make_model(backbone_path(kind), router=router, gate=gate, experts=experts)
    rows = [
        *model.rows.single(TEXTS, model.task("embed")),
        *model.rows.single(TEXTS, model.task("rerank")),
        *model.rows.pairs([(TEXTS[0], TEXTS[1])], model.task("read")),
    ]
    batch = model.collate(rows)
    with torch.inference_mode(), watched(model) as seen:
        states = model(batch)
        backbone = AutoModel.from_pretrained(str(backbone_path(kind)), dtype=torch.float32).eval()
        types = {} if batch.types is None else {"token_type_ids": batch.types}
        bare = backbone(input_ids=batch.ids, attention_mask=batch.mask.long(), **types)
    inputs = [x.double().numpy() for x in seen[-model.n_layers :]]
    reference = Reference(model, inputs, bare.last_hidden_state.double().numpy())
    sizes = [model.experts[e].rank for e in states.experts]
    for layer, decision in enumerate(states.routing):
        by_rank = decision.ranks is not None
        parts = decision.ranks.split(sizes, -1) if by_rank else decision.weights.split(1, -1)
        for at, row in enumerate(rows):
            n = len(row.ids)
            for token in range(n) if decision.weights.shape[1] > 1 else [0]:
                expected = reference.weights(layer, at, token, n, row.task.name)
                for expert, part in zip(states.experts, parts, strict=True):
                    found = part[at, token].numpy()
                    want = expected.get(expert, np.zeros(len(found)))
                    # Sparsegen divides float32 differences by 1 - lam, as small as 0.01.
                    np.testing.assert_allclose(found, want, atol=1e-3, err_msg=expert)
