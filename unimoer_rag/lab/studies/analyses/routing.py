"""Where texts are sent: weights by task, layer, data set and step, their entropy, experts' load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.panels import Findings, Panel, Points, thinned
from unimoer_rag.model import Row, Task, UniMoER, plan_batches

__all__ = ["routing", "text_weights"]

_BUDGET = 2048  # padded tokens a batch
_POINTS = 25  # of a line through training


def routing(subject: Subject) -> Findings:
    """The router's weights on texts of the development sets, and through training."""
    model = subject.model
    panels: list[Panel] = []
    numbers: dict[str, float] = {}
    entropies: dict[str, Points] = {}
    load: dict[str, list[float]] = defaultdict(list)
    for task in model.tasks.values():
        if task.joint or task.labels:
            continue  # its rows are pairs or have labels: another distribution of texts
        by_set = {
            name: text_weights(model, subject.rows(task, *texts), task)
            for name, texts in subject.texts().items()
        }
        every = np.concatenate(list(by_set.values()))  # [texts, layers, experts]
        panels += _weights(task, every, by_set)
        entropies[task.name] = list(enumerate(_entropy(every).tolist(), start=1))
        numbers[f"{task.name}: weights that are exactly 0"] = float((every == 0).mean())
        for at, expert in enumerate(task.experts):
            load[expert].append(float(every[..., at].mean()))
    panels.append(
        Panel(
            title="Entropy of the routing",
            kind="lines",
            x="layer",
            y="share of the largest possible",
            series=entropies,
            note="Of each text's weights over the experts its task may use; 1 is an even mixture.",
        )
    )
    total = sum(sum(each) for each in load.values())
    numbers |= {f"load of {expert}": sum(each) / total for expert, each in load.items()}
    return Findings(panels=(*panels, *_through_training(subject.run.log)), numbers=numbers)


@torch.inference_mode()
def text_weights(model: UniMoER, rows: Sequence[Row], task: Task) -> NDArray[np.float64]:
    """Weights of the experts a task names, each text's mean over its tokens.

    Returns:
        `[rows, layers, experts of the task]`.
    """
    found = np.zeros((len(rows), model.n_layers, len(task.experts)))
    for at in plan_batches([len(row.ids) for row in rows], _BUDGET):
        batch = model.collate([rows[i] for i in at])
        states = model(batch)
        order = [states.experts.index(expert) for expert in task.experts]
        mask = batch.mask.float().unsqueeze(-1)
        for layer, weights in enumerate(states.weights):
            by_token = weights.expand(-1, mask.shape[1], -1)
            mean = (by_token * mask).sum(1) / mask.sum(1)
            found[at, layer] = mean[:, order].cpu().numpy()
    return found


def _weights(
    task: Task, every: NDArray[np.float64], by_set: Mapping[str, NDArray[np.float64]]
) -> list[Panel]:
    by_layer = every.mean(axis=0)
    lines: dict[str, Points] = {
        expert: list(enumerate(by_layer[:, at].tolist(), start=1))
        for at, expert in enumerate(task.experts)
    }
    bars: dict[str, Points] = {
        expert: [(name, float(weights[..., at].mean())) for name, weights in by_set.items()]
        for at, expert in enumerate(task.experts)
    }
    told = f"Weights of task {task.name}"
    return [
        Panel(title=f"{told}, by layer", kind="lines", x="layer", y="mean weight", series=lines),
        Panel(title=f"{told}, by data set", kind="bars", x="", y="mean weight", series=bars),
    ]


def _entropy(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean entropy of texts' weights at each layer, as a share of an even mixture's."""
    n = weights.shape[-1]
    if n == 1:
        return np.zeros(weights.shape[1])
    total = weights.sum(axis=-1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    mean: NDArray[np.float64] = -(shares * logs).sum(axis=-1).mean(axis=0) / np.log(n)
    return mean


def _through_training(log: Sequence[Mapping[str, object]]) -> list[Panel]:
    """The mean weights that each step's report tells, in some points."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for report in log:
        told = report.get("routing")
        if not isinstance(told, dict):
            continue
        for task, experts in told.items():
            for expert, weight in experts.items():
                lines[f"{task}: {expert}"].append((float(str(report["step"])), float(weight)))
    if not lines:
        return []
    return [
        Panel(
            title="Weights through training",
            kind="lines",
            x="step",
            y="mean weight",
            series={name: thinned(points, _POINTS) for name, points in lines.items()},
            note="Over the texts of each step's batches, averaged over neighbouring steps.",
        )
    ]
