"""Taking experts and tasks out of a model, and making one expert of several.

What a task computes depends on the experts it names and on nothing else, so that the tasks which do
not name the experts in question give bit for bit what they gave. Every function changes the model
in place: where an `Engine` runs it, clear the engine's cache afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import torch
from torch import Tensor
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.layers.experts import ExpertSpec, RoutedLinear
from unimoer_rag.model.tasks import check_name

if TYPE_CHECKING:
    from unimoer_rag.model.unimoer import UniMoER

__all__ = ["MergeMethod", "merge_experts", "remove_expert", "remove_task"]

MergeMethod = Literal["concat", "linear", "svd"]

_T = TypeVar("_T")


def remove_task(model: UniMoER, name: str) -> None:
    """Take a task and its head out of a model; its experts stay.

    Raises:
        InputError: the model has no such task.
    """
    model.task(name)
    del model.heads[name]
    model.router.remove_task(name)
    del model.tasks[name]


def remove_expert(model: UniMoER, name: str) -> None:
    """Take an expert that no task names out of every layer and the router.

    Raises:
        InputError: there is no such expert, or a task names it.
    """
    _check_expert(model, name)
    users = [task.name for task in model.tasks.values() if name in task.experts]
    if users:
        raise InputError(
            f"the expert {name!r} is named by the task{'s' * (len(users) > 1)} "
            f"{', '.join(map(repr, users))}: remove what names it first"
        )
    _drop(model, name)


def merge_experts(
    model: UniMoER,
    names: Sequence[str],
    *,
    into: str,
    weights: Sequence[float] | None = None,
    method: MergeMethod = "concat",
    rank: int | None = None,
) -> float:
    """Make one expert of several, whose output is the weighted sum of theirs.

    Every task that named one of them names the merged one in its place; the experts themselves are
    removed. Where the router keeps an entry for each expert, the merged one starts from the
    weighted mean of theirs.

    | method | what it does | rank |
    |---|---|---|
    | concat | stacks the experts' ranks: exact | the sum of theirs |
    | linear | adds the experts' matrices, as PEFT's combination of that name does | theirs, equal |
    | svd | the nearest matrix of that rank to the sum, layer by layer | as given |

    Args:
        model: the model.
        names: the experts, at least two.
        into: name of the merged expert.
        weights: one factor an expert; 1 each where nothing is given.
        method: see the table.
        rank: of the merged expert, for "svd".

    Returns:
        The relative error: Frobenius norm of what was added to the backbone's weights minus what
        is now, over that of the former.

    Raises:
        InputError: an expert does not exist or is named twice, the new name is taken, or weights,
            method and rank do not fit the experts.
    """
    factors = _check_merge(model, names, weights, method)
    specs = [model.experts[name] for name in names]
    check_name(into, "an expert")
    size = _merged_rank(specs, method, rank)
    # A scale of 1: the experts' own scales go into the matrices, since they may differ.
    merged = ExpertSpec(
        rank=size,
        alpha=size,
        targets=_union([spec.targets for spec in specs]),
        layers=_union([spec.layers for spec in specs]),
    )
    model.add_expert(into, merged)
    scaled = {n: f * s.scale for n, f, s in zip(names, factors, specs, strict=True)}
    error = norm = 0.0
    for layer in model.routed_layers().values():
        if any(name in layer.lora_A for name in names):
            whole = _stacked(layer, scaled)
            single = _COMBINE[method](layer, scaled, size)
            _put(layer, into, single)
            error += _norm(whole, single)
            norm += _norm(whole)
    _start_router(model, [list(model.experts).index(name) for name in names], factors)
    for task in list(model.tasks.values()):
        kept = dict.fromkeys(into if e in names else e for e in task.experts)
        model.tasks[task.name] = replace(task, experts=tuple(kept))
    for name in names:
        _drop(model, name)
    return math.sqrt(error / norm) if norm else 0.0


# -- parts ----------------------------------------------------------------------------------


def _check_expert(model: UniMoER, name: str) -> None:
    if name not in model.experts:
        raise InputError(
            f"this model has no expert {name!r}: it has {', '.join(model.experts) or 'none'}"
        )


def _check_merge(
    model: UniMoER, names: Sequence[str], weights: Sequence[float] | None, method: str
) -> list[float]:
    """The weights, where all of it can be used."""
    for name in names:
        _check_expert(model, name)
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError(f"cannot merge {', '.join(names)}: expected two or more different experts")
    factors = [1.0] * len(names) if weights is None else [float(w) for w in weights]
    if len(factors) != len(names) or not all(map(math.isfinite, factors)):
        raise InputError(f"the weights {factors} of {len(names)} experts: expected a number each")
    if method not in get_args(MergeMethod):
        raise InputError(
            f"unknown method {method!r}: expected one of {', '.join(get_args(MergeMethod))}"
        )
    return factors


def _merged_rank(specs: Sequence[ExpertSpec], method: MergeMethod, rank: int | None) -> int:
    ranks = [spec.rank for spec in specs]
    if method == "svd":
        if rank is None or not 1 <= rank <= sum(ranks):
            raise InputError(
                f"the rank {rank} for the method 'svd': expected one from 1 to {sum(ranks)}, what "
                "the experts have together"
            )
        return rank
    if method == "linear" and len(set(ranks)) > 1:
        raise InputError(
            f"the method 'linear' adds matrices of one rank, the experts have {ranks}: use 'svd' "
            "or 'concat'"
        )
    own = sum(ranks) if method == "concat" else ranks[0]
    if rank not in (None, own):
        raise InputError(f"the rank {rank} for the method {method!r}, which gives {own}: use 'svd'")
    return own


def _union(places: Sequence[tuple[_T, ...]]) -> tuple[_T, ...]:
    """Where any of the experts is; an empty one is everywhere."""
    if not all(places):
        return ()
    return tuple(dict.fromkeys(place for some in places for place in some))


def _drop(model: UniMoER, name: str) -> None:
    model.router.remove_expert(list(model.experts).index(name))
    for layer in model.routed_layers().values():
        layer.remove_expert(name)
    del model.experts[name]


@torch.no_grad()
def _start_router(model: UniMoER, at: Sequence[int], factors: Sequence[float]) -> None:
    """Let the last expert's entries be the weighted mean of some others'."""
    total = sum(map(abs, factors))
    shares = [abs(f) / total if total else 1 / len(factors) for f in factors]
    for name, axis in model.router.expert_axes().items():
        entries = model.router.get_parameter(name)
        own = [entries.select(axis, i) * share for i, share in zip(at, shares, strict=True)]
        entries.select(axis, -1).copy_(torch.stack(own).sum(0))


# -- matrices: a pair (A [ranks, in], B [out, ranks]) in float64 stands for their product ---------

_Pair = tuple[Tensor, Tensor]


def _whole(matrix: Tensor) -> Tensor:
    return matrix.detach().to("cpu", torch.float64)  # not every accelerator has float64


def _stacked(layer: RoutedLinear, scaled: Mapping[str, float], rank: int = 0) -> _Pair:
    """The experts of one layer beside each other, each times its factor; padded to a rank."""
    here = [name for name in scaled if name in layer.lora_A]
    down = torch.cat([_whole(layer.lora_A[name]) for name in here])
    up = torch.cat([_whole(layer.lora_B[name]) * scaled[name] for name in here], dim=1)
    return _padded(down, up, rank)


def _padded(down: Tensor, up: Tensor, rank: int) -> _Pair:
    missing = max(rank - len(down), 0)
    return functional.pad(down, (0, 0, 0, missing)), functional.pad(up, (0, missing))


def _added(layer: RoutedLinear, scaled: Mapping[str, float], rank: int) -> _Pair:
    """Each factor shared evenly between `A` and `B`, which are then added up."""
    here = [name for name in scaled if name in layer.lora_A]
    root = {name: math.sqrt(abs(scaled[name])) for name in here}
    downs = [_whole(layer.lora_A[n]) * root[n] for n in here]
    ups = [_whole(layer.lora_B[n]) * math.copysign(root[n], scaled[n]) for n in here]
    return torch.stack(downs).sum(0), torch.stack(ups).sum(0)


def _nearest(layer: RoutedLinear, scaled: Mapping[str, float], rank: int) -> _Pair:
    """The truncated singular value decomposition of the sum (Eckart & Young 1936).

    Of the small matrix between the two bases, so that nothing of the layer's full size is made.
    """
    down, up = _stacked(layer, scaled)
    left, r_up = torch.linalg.qr(up)
    right, r_down = torch.linalg.qr(down.T)
    u, s, v = torch.linalg.svd(r_up @ r_down.T)
    kept = min(rank, len(s))
    root = s[:kept].sqrt()
    return _padded((v[:kept].T * root).T @ right.T, left @ u[:, :kept] * root, rank)


_COMBINE: Mapping[MergeMethod, Callable[[RoutedLinear, Mapping[str, float], int], _Pair]] = {
    "concat": _stacked,
    "linear": _added,
    "svd": _nearest,
}


@torch.no_grad()
def _put(layer: RoutedLinear, name: str, pair: _Pair) -> None:
    layer.lora_A[name].copy_(pair[0])
    layer.lora_B[name].copy_(pair[1])


def _norm(pair: _Pair, minus: _Pair | None = None) -> float:
    """Squared Frobenius norm of a product, or of the difference of two."""
    down, up = pair
    if minus is not None:
        down, up = torch.cat([down, minus[0]]), torch.cat([up, -minus[1]], dim=1)
    return max(float(((up.T @ up) * (down @ down.T)).sum()), 0.0)
