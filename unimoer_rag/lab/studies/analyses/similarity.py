"""How alike tasks and experts make the same texts: linear CKA of hidden states, layer by layer."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from unimoer_rag.lab.studies.analyses.hidden import layer_states
from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.geometry import cka
from unimoer_rag.lab.studies.measuring import TASKS
from unimoer_rag.lab.studies.panels import Findings, Panel, Points
from unimoer_rag.model import Task

__all__ = ["similarity"]


def similarity(subject: Subject) -> Findings:
    """CKA between the tasks and the frozen backbone, and between single experts."""
    model = subject.model
    embed, rerank = (model.task(name) for name in TASKS)
    panels = [
        _panel(
            subject,
            "Likeness of tasks (CKA)",
            {"frozen": embed.with_strength(0.0), "embed": embed, "rerank": rerank},
        )
    ]
    if len(model.experts) > 1:
        alone = {name: replace(embed, experts=(name,)) for name in model.experts}
        panels.append(_panel(subject, "Likeness of experts (CKA)", alone))
    return Findings(panels=tuple(panels))


def _panel(subject: Subject, title: str, tasks: dict[str, Task]) -> Panel:
    texts = [text for pair in subject.texts().values() for side in pair for text in side]
    states = {
        name: layer_states(subject.model, subject.model.rows.single(texts, task))
        for name, task in tasks.items()
    }
    series: dict[str, Points] = {
        f"{first} and {second}": [
            (layer, cka(x, y))
            for layer, (x, y) in enumerate(zip(states[first], states[second], strict=True), 1)
        ]
        for first, second in combinations(states, 2)
    }
    return Panel(
        title=title,
        kind="lines",
        x="layer",
        y="CKA",
        series=series,
        note=f"The same {len(texts)} questions and passages, mean-pooled; 1 is alike.",
    )
