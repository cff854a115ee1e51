"""What of a model has learnt nothing yet: said when a checkpoint is loaded, or a backbone asked."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from unimoer_rag.errors import UntrainedWarning

if TYPE_CHECKING:
    from unimoer_rag.model.core import RoutedModel

__all__ = [
    "is_untrained",
    "silent_experts",
    "untrained_tasks",
    "warn_if_untrained",
    "warn_once_if_untrained",
]


def silent_experts(model: RoutedModel) -> list[str]:
    """The experts that change nothing: their up-projections are zero, as they begin."""
    heard: set[str] = set()
    for layer in model.routed_layers().values():
        heard |= {name for name in layer.lora_B if name not in heard and layer.lora_B[name].any()}
    return [name for name in model.experts if name not in heard]


def untrained_tasks(model: RoutedModel) -> list[str]:
    """The tasks whose answers mean nothing: a head that must learn, on experts that have not."""
    silent = set(silent_experts(model))
    return [
        name
        for name, task in model.tasks.items()
        if task.head_type.learnt and task.experts and silent.issuperset(task.experts)
    ]


def is_untrained(model: RoutedModel, task: str) -> bool:
    """Whether one task's answers mean nothing; at once where they mean something.

    What has been heard to speak is remembered: asking waits for what the device is doing.
    """
    trained = _TRAINED.setdefault(model, set())
    if task not in trained and task not in untrained_tasks(model):
        trained.add(task)
    return task not in trained


_TRAINED: WeakKeyDictionary[RoutedModel, set[str]] = WeakKeyDictionary()


def warn_if_untrained(model: RoutedModel, name: str) -> None:
    """Warn of tasks that have not been trained, and say which can be used."""
    tasks = untrained_tasks(model)
    if not tasks:
        return
    able = [task for task in model.tasks if task not in tasks]
    use = f"Its tasks {', '.join(able)} work as on the frozen backbone; " if able else ""
    warnings.warn(
        f"{name} is untrained for {', '.join(tasks)}: what these answer means nothing, and a "
        f"reader finds no answers. {use}for the others load a trained checkpoint, such as "
        "unimoer-minilm, or train one (unimoer-rag train)",
        UntrainedWarning,
        stacklevel=_levels_to_caller(),
    )


def warn_once_if_untrained(model: RoutedModel, name: str, task: str) -> None:
    """Warn, once a model, where a task is asked that a backbone has not learnt.

    A backbone is loaded to embed and to rerank, which it can: what it cannot is told when it is
    asked for.
    """
    if model not in _TOLD and is_untrained(model, task):
        _TOLD.add(model)
        warn_if_untrained(model, name)


_TOLD: WeakSet[RoutedModel] = WeakSet()


def _levels_to_caller() -> int:
    """What `warnings.warn` is to be told, so that it names a line of whoever called the library."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_LIBRARY):
        frame, level = frame.f_back, level + 1
    return level


_LIBRARY = ("unimoer_rag.", "langchain_unimoer", "llama_index.", "langchain_core.", "contextlib")
