"""The model card of an export: what it is, where it is from, how it is loaded."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.backbone import BACKBONES
from unimoer_rag.model.io.export.folder import write_text
from unimoer_rag.model.tasks import Task

__all__ = ["write_card"]


def write_card(
    model: RoutedModel, task: Task, folder: Path, *, library: str, use: str, note: str = ""
) -> None:
    """Write `README.md`.

    Args:
        model: the model.
        task: that is exported.
        folder: where.
        library: that loads the folder, as the Hub calls it.
        use: how it is loaded, in Markdown; FOLDER stands for where it is.
        note: what else is to be known.
    """
    known = BACKBONES.get(model.backbone_name)
    repo = known.repo if known is not None else model.backbone_name.partition("@")[0]
    named = known is not None or "@" in model.backbone_name
    kind = "sentence-similarity" if task.head == "vector" else "text-ranking"
    head = ["---", f"library_name: {library}", f"pipeline_tag: {kind}"]
    head += [f"base_model: {repo}"] if named else []
    experts = ", ".join(task.experts) if task.strength else ""
    what = (
        f"the experts {experts} at strength {task.strength:g} folded into its weights"
        if experts
        else "no expert in its weights: they are the backbone's as published"
    )
    text = [
        *head,
        "tags:",
        "- unimoer-rag",
        "---",
        "",
        f"# The task {task.name!r} of a UniMoER model",
        "",
        f"{repo if named else 'A backbone'}, {what}. Exported by unimoer-rag.",
        "",
        use,
        *(["", note] if note else []),
    ]
    write_text(folder / "README.md", "\n".join(text) + "\n")
