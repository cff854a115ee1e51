"""The one door: which target takes which task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from unimoer_rag.errors import InputError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.export import (
    cross_encoder,
    multi_vector,
    onnx,
    openvino,
    peft,
    sentence_transformers,
)
from unimoer_rag.model.io.export.folder import new_folder
from unimoer_rag.model.tasks import Task

__all__ = ["Target", "export"]

Target = Literal[
    "sentence-transformers", "multi-vector", "cross-encoder", "peft", "onnx", "openvino"
]
"""What an export is for."""


class _Writer(NamedTuple):
    """What writes a task's files into an empty folder.

    Attributes:
        heads: of the tasks that it takes.
        write: takes the model, the task, the folder, and options of its own.
    """

    heads: tuple[str, ...]
    write: Callable[..., None]


_WRITERS: Mapping[Target, _Writer] = {
    "sentence-transformers": _Writer(("vector",), sentence_transformers.write),
    "multi-vector": _Writer(("maxsim", "late"), multi_vector.write),
    "cross-encoder": _Writer(("cross-encoder", "cross"), cross_encoder.write),
    "onnx": _Writer(("vector",), onnx.write),
    "openvino": _Writer(("vector",), openvino.write),
}
# What is nearest for a head that a target does not take.
_NEAREST: Mapping[str, str] = {
    "vector": "--to sentence-transformers, onnx or openvino",
    "late": "--to multi-vector",
    "maxsim": "--to multi-vector",
    "token-mean": "--to multi-vector of the task that compares its tokens",
    "cross": "--to cross-encoder",
    "cross-encoder": "--to cross-encoder",
}
_NO_FOLDER = "--to peft, which gives an expert's weights to a program of your own"


def export(
    model: RoutedModel,
    folder: str | Path,
    *,
    to: Target,
    task: str | None = None,
    expert: str | None = None,
    plain_maxsim: bool = False,
) -> Path:
    """See `UniMoER.export`."""
    if to not in get_args(Target):
        raise InputError(f"no export {to!r}: expected one of {', '.join(get_args(Target))}")
    target = Path(folder).expanduser()
    if plain_maxsim and to != "multi-vector":
        raise InputError(f"an export to {to} compares no token states: leave plain MaxSim out")
    if to == "peft":
        with new_folder(target) as part:
            peft.write(model, part, expert=expert, task=task)
        return target
    if expert is not None:
        raise InputError(
            f"an export to {to} takes a task with all of its experts: leave the expert "
            f"{expert!r} out, or export to peft"
        )
    chosen = _task(model, to, task)
    if plain_maxsim and chosen.head != "late":
        raise InputError(
            f"the task {chosen.name!r} has the head {chosen.head!r}, whose score can be had as it "
            "is: leave plain MaxSim out"
        )
    options = {"plain_maxsim": True} if plain_maxsim else {}
    with new_folder(target) as part:
        _WRITERS[to].write(model, chosen, part, **options)
    return target


def _task(model: RoutedModel, to: Target, name: str | None) -> Task:
    """The task of that name, or the first one that the target takes.

    Raises:
        InputError: there is none.
    """
    heads = _WRITERS[to].heads
    if name is None:
        for task in model.tasks.values():
            if task.head in heads:
                return task
        raise InputError(
            f"an export to {to} is of a task with the head {' or '.join(map(repr, heads))}, and "
            f"this model has none: its tasks are {_told(model)}"
        )
    chosen = model.task(name)
    if chosen.head not in heads:
        raise InputError(
            f"the task {name!r} has the head {chosen.head!r}, and an export to {to} is of a task "
            f"with the head {' or '.join(map(repr, heads))}. Nearest: "
            f"{_NEAREST.get(chosen.head, _NO_FOLDER)}"
        )
    return chosen


def _told(model: RoutedModel) -> str:
    return ", ".join(f"{task.name} ({task.head})" for task in model.tasks.values()) or "none"
