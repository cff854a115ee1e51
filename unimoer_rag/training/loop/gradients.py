"""Gradients of a step: summed as they come, or kept apart by objective to settle their conflicts.

Losses are grouped by the part of their names before the slash. Over the parameters that two or more
objectives share, PCGrad and CAGrad make one gradient of several; those that one objective alone
reaches take its own. The routing's regularisers are a group that takes no part in that: its
gradient is added to what comes out.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unimoer_rag.model import layer_of
from unimoer_rag.training.loop.processes import Processes
from unimoer_rag.training.objectives.objective import add

__all__ = ["ROUTING", "Gradients", "by_group", "cagrad", "pcgrad"]

ROUTING = "routing"

Conflicts = Literal["sum", "pcgrad", "cagrad"]
Similarity = dict[str, dict[str, float]]


def by_group(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sums of the losses by the part of their names before the slash."""
    groups: dict[str, list[Tensor]] = defaultdict(list)
    for name, loss in losses.items():
        groups[name.partition("/")[0]].append(loss)
    return {name: torch.stack(members).sum() for name, members in groups.items()}


class Gradients:
    """The gradients of one step, over its micro-steps.

    Args:
        named: what learns, by name.
        apart: keep each group's own.
    """

    def __init__(self, named: Mapping[str, nn.Parameter], *, apart: bool) -> None:
        self._named = {name: p for name, p in named.items() if p.requires_grad}
        self._apart = apart
        self._kept: dict[str, dict[str, Tensor]] = {}

    def add(
        self, losses: Mapping[str, Tensor], leaves: Sequence[Tensor] = ()
    ) -> dict[str, list[Tensor | None]]:
        """Backward from the losses.

        Args:
            losses: by group.
            leaves: tensors whose gradients are handed back in place of being kept.

        Returns:
            Gradients of the leaves by group; of all groups together, under "", when not apart.
        """
        taught = {name: loss for name, loss in losses.items() if loss.requires_grad}
        if not self._apart and taught:
            taught = {"": torch.stack(list(taught.values())).sum()}
        found: dict[str, list[Tensor | None]] = {}
        for at, (group, loss) in enumerate(taught.items(), start=1):
            loss.backward(retain_graph=at < len(taught))  # type: ignore[no-untyped-call]
            found[group] = [leaf.grad for leaf in leaves]
            for leaf in leaves:
                leaf.grad = None
            if self._apart:
                self._take(group)
        return found

    def _take(self, group: str) -> None:
        """Move the gradients at the parameters to the group's own."""
        found = {name: p.grad for name, p in self._named.items() if p.grad is not None}
        add(self._kept.setdefault(group, {}), found)
        self._put({})

    def mean(self, processes: Processes) -> None:
        """Average over the processes, each group for itself."""
        parameters = list(self._named.values())
        if not self._apart:
            processes.mean_gradients(parameters)
            return
        if processes.world == 1:
            return
        for group in self._kept:
            self._put(self._kept[group])
            processes.mean_gradients(parameters)
            self._kept[group] = {}
            self._take(group)

    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._named.items():
            parameter.grad = values.get(name)

    @property
    def _objectives(self) -> dict[str, dict[str, Tensor]]:
        return {name: kept for name, kept in self._kept.items() if name != ROUTING}

    def _reached(self) -> dict[str, set[str]]:
        """The parameters that an objective has to do with, by objective.

        Those of an expert that its rows may not use have a gradient of exactly 0 where they met
        rows that do in one batch.
        """
        reached: dict[str, set[str]] = {}
        for objective, kept in self._objectives.items():
            largest = torch.stack([g.abs().max() for g in kept.values()]).tolist() if kept else []
            reached[objective] = {n for n, most in zip(kept, largest, strict=True) if most}
        return reached

    def settle(self, how: Conflicts, *, seed: int) -> None:
        """Leave one gradient at each parameter.

        Args:
            how: PCGrad, CAGrad or the sum.
            seed: of PCGrad's order.
        """
        if not self._apart:
            return
        total: dict[str, Tensor] = {}
        for kept in self._kept.values():
            add(total, kept)
        reached = list(self._reached().values()) if how != "sum" else []
        shared = [name for name in self._named if sum(name in own for own in reached) > 1]
        if shared:
            settled = self._settle(shared, how, seed)
            routing = self._kept.get(ROUTING, {})
            total |= settled
            add(total, {name: routing[name] for name in shared if name in routing})
        self._put(total)

    def _settle(self, shared: Sequence[str], how: Conflicts, seed: int) -> dict[str, Tensor]:
        """One gradient of the shared parameters, in the size of a sum."""
        rows = torch.stack([self._flat(objective, shared) for objective in self._objectives])
        one = pcgrad(rows, seed=seed) if how == "pcgrad" else len(rows) * cagrad(rows)
        parts = torch.split(one, [self._named[name].numel() for name in shared])
        return {
            name: part.view_as(self._named[name]) for name, part in zip(shared, parts, strict=True)
        }

    def _flat(self, objective: str, names: Sequence[str]) -> Tensor:
        kept = self._kept[objective]
        parts = [
            kept[n].flatten() if n in kept else self._named[n].new_zeros(self._named[n].numel())
            for n in names
        ]
        return torch.cat(parts).detach()

    @torch.no_grad()
    def similarity(self) -> tuple[Similarity, Similarity]:
        """Cosines between objectives over what they share, and the norm of each one's gradient.

        Returns:
            By place ("0" for the transformer layer nearest the input, "router", "heads"), then by
            pair "a|b" or by objective. A pair that shares nothing there is left out, and so is an
            objective that reaches nothing.
        """
        reached = self._reached()
        places: dict[str, list[str]] = defaultdict(list)
        for name in self._named:
            kind = name.partition(".")[0]
            places[str(layer_of(name)) if kind == "experts" else kind].append(name)
        cosines: Similarity = defaultdict(dict)
        norms: Similarity = defaultdict(dict)
        for place, names in places.items():
            for a, b in combinations(reached, 2):
                both = [n for n in names if n in reached[a] and n in reached[b]]
                if both:
                    left, right = self._flat(a, both), self._flat(b, both)
                    cosine = torch.nn.functional.cosine_similarity(left, right, dim=0)
                    cosines[place][f"{a}|{b}"] = round(float(cosine), 5)
            for a in reached:
                own = [n for n in names if n in reached[a]]
                if own:
                    norms[place][a] = round(float(self._flat(a, own).norm()), 6)
        return dict(cosines), dict(norms)


def pcgrad(gradients: Tensor, *, seed: int) -> Tensor:
    """PCGrad (Yu et al. 2020, 2001.06782): the sum of gradients, each freed of its conflicts.

    Each gradient is projected onto the normal plane of every other one it conflicts with (has a
    negative inner product), in a random order.

    Args:
        gradients: float `[objectives, parameters]`.
        seed: of the order.
    """
    rng = random.Random(seed)
    total = torch.zeros_like(gradients[0])
    for at, gradient in enumerate(gradients):
        freed = gradient.clone()
        others = [other for other in range(len(gradients)) if other != at]
        rng.shuffle(others)
        for other in others:
            dot = freed @ gradients[other]
            if dot < 0:
                freed -= dot / gradients[other].square().sum() * gradients[other]
        total += freed
    return total


def cagrad(gradients: Tensor, *, c: float = 0.4) -> Tensor:
    """CAGrad (Liu et al. 2021, 2110.14048): near the mean, best for the worst-off objective.

    With g_0 the mean, it is the d that maximises `min_i <g_i, d>` within `|d - g_0| <= c |g_0|`:
    `d = g_0 + c |g_0| g_w / |g_w|`, where w on the simplex minimises `<g_w, g_0> + c |g_0| |g_w|`
    and `g_w = sum_i w_i g_i`. c = 0 is the mean.

    Args:
        gradients: float `[objectives, parameters]`.
        c: how far from the mean, at least 0 and below 1.
    """
    mean = gradients.mean(0)
    gram = (gradients.double() @ gradients.double().T).cpu().numpy()
    radius = c * float(np.sqrt(gram.mean()))
    weights = _worst_mixture(gram, radius)
    worst = torch.as_tensor(weights, dtype=gradients.dtype, device=gradients.device) @ gradients
    norm = worst.norm()
    return mean + (radius / norm) * worst if norm > 0 else mean


def _worst_mixture(gram: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """The w on the simplex that minimises `w . mean(gram) + radius * sqrt(w gram w)`.

    The function is convex: it is minimised along the line between two objectives after another,
    where the minimum has a closed form, until nothing changes.
    """
    n = len(gram)
    w = np.full(n, 1 / n)
    slope = gram.mean(1)
    for _ in range(1000):
        before = w.copy()
        for i in range(n):
            for j in range(i):
                move = _along(gram, slope, radius, w, i, j)
                w[i] += move
                w[j] -= move
        if np.abs(w - before).max() < 1e-12:
            break
    return w


def _along(
    gram: NDArray[np.float64],
    slope: NDArray[np.float64],
    radius: float,
    w: NDArray[np.float64],
    i: int,
    j: int,
) -> float:
    """How much weight to move from j to i: the minimum over t of `a t + s sqrt(p t^2 + 2 q t + r)`.

    The derivative is 0 where `u = p t + q` has `u = -a sqrt(d) / sqrt(s^2 p - a^2)`, with
    `d = p r - q^2`; where `s^2 p <= a^2` there is no such t, and the end of the line is lowest.
    """
    least, most = -w[i], w[j]
    a = float(slope[i] - slope[j])
    p = float(gram[i, i] - 2 * gram[i, j] + gram[j, j])
    q = float(gram[i] @ w - gram[j] @ w)
    d = max(p * float(w @ gram @ w) - q * q, 0.0)
    steep = radius * radius * p - a * a
    if p <= 0:
        return 0.0
    if steep <= 0:
        return float(least if a > 0 else most)
    u = -a * np.sqrt(d / steep)
    return float(np.clip((u - q) / p, least, most))
