"""What each expert knows: every task measured with one expert alone."""

from __future__ import annotations

from dataclasses import replace

from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.measuring import TASKS, measure, pooled
from unimoer_rag.lab.studies.panels import Findings, Panel, Points
from unimoer_rag.model import Task

__all__ = ["probing"]

_AS_TRAINED = "as trained"


def probing(subject: Subject) -> Findings:
    """nDCG@10 of each task with no expert, with each one alone, and as it was trained."""
    model = subject.model
    series: dict[str, Points] = {}
    for name in TASKS:
        kept = model.task(name)
        choices: dict[str, Task] = {
            "none": kept.with_strength(0.0),
            **{expert: replace(kept, experts=(expert,)) for expert in model.experts},
            _AS_TRAINED: kept,
        }
        try:
            for done, (choice, task) in enumerate(choices.items()):
                subject.on_progress(f"probing {name}", done, len(choices))
                model.change_task(task)
                values = pooled(measure(model, subject.sets(), (name,)))[name]
                series.setdefault(choice, []).append((name, sum(values.values()) / len(values)))
        finally:
            model.change_task(kept)
    panel = Panel(
        title="Each expert alone",
        kind="heat",
        x="task",
        y="nDCG@10",
        series=series,
        note="The other experts are off, and the one named has the weight 1.",
    )
    return Findings(panels=(panel,))
