"""One expert of a task as a plain LoRA adapter of PEFT, behind the command of the others."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.peft_adapters import export_expert

__all__ = ["write"]


def write(
    model: RoutedModel, folder: Path, *, expert: str | None = None, task: str | None = None
) -> None:
    """Write an expert into an empty folder; see `export_expert`.

    Args:
        model: the model.
        folder: where.
        expert: its name; by default the one of the task.
        task: whose routing weight and strength are folded in; by default the expert has weight 1.

    Raises:
        InputError: no expert is named, and the task has not just one; or as for `export_expert`.
        MissingExtraError: peft is not installed.
    """
    names = model.experts if task is None else model.task(task).experts
    if expert is None and len(names) != 1:
        raise InputError(
            f"{'the model' if task is None else f'the task {task!r}'} has "
            f"{len(names) or 'no'} experts, and an adapter is one: name it (--expert NAME) of "
            f"{', '.join(names) or 'another model'}"
        )
    export_expert(model, expert or next(iter(names)), folder, task=task)
