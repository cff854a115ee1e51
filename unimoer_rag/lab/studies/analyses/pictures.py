"""Pictures of texts as the tasks see them: t-SNE of the last layer's states.

van der Maaten and Hinton, "Visualizing Data using t-SNE", 2008. Distances between far groups say
nothing there; which texts lie together does.
"""

from __future__ import annotations

import numpy as np

from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.studies.analyses.hidden import layer_states
from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.measuring import TASKS
from unimoer_rag.lab.studies.panels import Findings, Panel

__all__ = ["pictures"]

_TEXTS = 24  # questions, and as many passages, of each data set
_PERPLEXITY = 20


def pictures(subject: Subject) -> Findings:
    """The same texts under both tasks and frozen, coloured by task and by data set."""
    with needs_extra("sklearn", "studies", "t-SNE pictures"):
        from sklearn.manifold import TSNE

    model = subject.model
    embed, rerank = (model.task(name) for name in TASKS)
    tasks = {"frozen": embed.with_strength(0.0), "embed": embed, "rerank": rerank}
    states, of_task, of_set = [], [], []
    for name, (questions, passages) in subject.texts().items():
        for label, task in tasks.items():
            rows = subject.rows(task, questions[:_TEXTS], passages[:_TEXTS])
            states.append(layer_states(model, rows)[-1])
            of_task += [label] * len(rows)
            of_set += [name] * len(rows)
    whole = np.concatenate(states)
    flat = TSNE(
        perplexity=min(_PERPLEXITY, (len(whole) - 1) / 3), init="pca", random_state=0
    ).fit_transform(whole)
    points = flat.astype(float).tolist()
    return Findings(
        panels=tuple(
            Panel(
                title=f"Texts in the last layer, by {what}",
                kind="dots",
                x="",
                y="",
                series={
                    label: [
                        (x, y) for (x, y), of in zip(points, labels, strict=True) if of == label
                    ]
                    for label in dict.fromkeys(labels)
                },
                note="t-SNE of the first seed: near points are alike, distances of groups are not.",
            )
            for what, labels in (("task", of_task), ("data set", of_set))
        )
    )
