"""What experts learnt, in their weights: spectra of `B A`, effective ranks, shared subspaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.geometry import effective_rank, low_rank_svd, overlap
from unimoer_rag.lab.studies.panels import Findings, Panel, Points
from unimoer_rag.model import UniMoER

__all__ = ["spectra", "subspaces"]

_TOP = 4  # principal directions whose subspaces are compared


@dataclass(frozen=True, slots=True)
class _Update:
    """The decomposed update of one expert at one linear layer."""

    layer: int
    left: NDArray[np.float64]
    values: NDArray[np.float64]
    right: NDArray[np.float64]


def _updates(model: UniMoER) -> dict[str, list[_Update]]:
    """Every expert's updates `alpha/r B A`, in the same order of linear layers where they agree."""
    found: dict[str, list[_Update]] = defaultdict(list)
    for name, routed in model.routed_layers().items():
        layer = next(int(part) for part in name.split(".") if part.isdigit()) + 1
        for expert, down in routed.lora_A.items():
            scale = model.experts[expert].scale
            up = routed.lora_B[expert].detach().double().cpu().numpy() * scale
            found[expert].append(
                _Update(layer, *low_rank_svd(up, down.detach().double().cpu().numpy()))
            )
    return dict(found)


def spectra(subject: Subject) -> Findings:
    """Singular values of each expert's update, its effective rank and its size by layer."""
    updates = _updates(subject.model)
    panels = (
        Panel(
            title="Singular values of the updates",
            kind="lines",
            x="number",
            y="mean singular value",
            series={name: _spectrum(each) for name, each in updates.items()},
            note="Mean over the linear layers; alpha/r is in it.",
        ),
        Panel(
            title="Effective rank of the updates",
            kind="lines",
            x="layer",
            y="effective rank",
            series={
                n: _by_layer(e, lambda u: effective_rank(u.values)) for n, e in updates.items()
            },
        ),
        Panel(
            title="Size of the updates",
            kind="lines",
            x="layer",
            y="Frobenius norm",
            series={
                n: _by_layer(e, lambda u: float(np.linalg.norm(u.values)))
                for n, e in updates.items()
            },
        ),
    )
    numbers = {
        f"effective rank of {name} (of {subject.model.experts[name].rank})": float(
            np.mean([effective_rank(update.values) for update in each])
        )
        for name, each in updates.items()
    }
    return Findings(panels=panels, numbers=numbers)


def subspaces(subject: Subject) -> Findings:
    """How much two experts' main directions overlap, of what they read and of what they write."""
    updates = _updates(subject.model)
    panels = []
    for side, words in (("left", "write to"), ("right", "read from")):
        series = {
            f"{first} and {second}": _overlaps(updates[first], updates[second], side)
            for first, second in combinations(updates, 2)
        }
        if series:
            panels.append(
                Panel(
                    title=f"Overlap of the directions that experts {words}",
                    kind="lines",
                    x="layer",
                    y="mean squared cosine",
                    series={**series, "chance": _chance(next(iter(updates.values())), side)},
                    note=f"The {_TOP} main singular directions of two updates; 1: the same space.",
                )
            )
    return Findings(panels=tuple(panels))


def _spectrum(updates: list[_Update]) -> Points:
    size = max(len(update.values) for update in updates)
    padded = [np.pad(update.values, (0, size - len(update.values))) for update in updates]
    return list(enumerate(np.mean(padded, axis=0).tolist(), start=1))


def _by_layer(updates: list[_Update], value: Callable[[_Update], float]) -> Points:
    return _layer_means((update.layer, value(update)) for update in updates)


def _overlaps(first: list[_Update], second: list[_Update], side: str) -> Points:
    return _layer_means(
        (mine.layer, overlap(getattr(mine, side)[:, :_TOP], getattr(theirs, side)[:, :_TOP]))
        for mine, theirs in zip(first, second, strict=True)
        if mine.values.any() and theirs.values.any()  # an untrained expert has no directions
    )


def _chance(updates: list[_Update], side: str) -> Points:
    """What two random subspaces of so many directions have in common on average."""
    shapes = ((update.layer, getattr(update, side).shape) for update in updates)
    return _layer_means((layer, min(_TOP, rank) / width) for layer, (width, rank) in shapes)


def _layer_means(values: Iterable[tuple[int, float]]) -> Points:
    """The mean of each layer's values."""
    at: dict[int, list[float]] = defaultdict(list)
    for layer, value in values:
        at[layer].append(value)
    return [(layer, float(np.mean(each))) for layer, each in sorted(at.items())]
