"""A task's experts folded into the weights of its backbone, as a model of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.architectures import choose_attention, model_class, sees_tables
from unimoer_rag.model.io.export.folder import written_by
from unimoer_rag.model.io.loading_bars import no_bars
from unimoer_rag.model.io.pretrained import LOCAL, check_finite, read_config
from unimoer_rag.model.layers.merged import constant_weights, fold
from unimoer_rag.model.tasks import Task

__all__ = ["expert_weights", "folded_body", "longest", "save_body"]


def expert_weights(model: RoutedModel, task: Task) -> Tensor:
    """What a task's experts are multiplied by in each layer, where no text has a say in it.

    Returns:
        float32 `[layers, experts of the task in the model's order]`: routing weight times strength.

    Raises:
        InputError: it depends on the text, so that no single set of weights gives the task.
    """
    if task.queries_only and task.strength and not _silent(model, task):
        raise InputError(
            f"the experts of {task.name!r} read queries alone, so that no single set of weights "
            f"gives the task. Nearest: export one of {', '.join(task.experts)} by itself (--to "
            "peft --expert NAME), and let it read queries"
        )
    if not task.strength or _silent(model, task):
        return torch.zeros(model.n_layers, len(task.experts))
    try:
        return constant_weights(model, task).cpu() * task.strength
    except InputError as error:
        raise InputError(
            f"{error}; no folder of fixed weights gives the same. Nearest: make one expert of "
            f"{', '.join(task.experts)} (`unimoer-rag experts merge`) and measure it, or export "
            "one of them by itself (--to peft --expert NAME)"
        ) from error


def _silent(model: RoutedModel, task: Task) -> bool:
    """Whether its experts add nothing: there are none, or none has learnt."""
    layers = model.routed_layers().values()
    ups = (up for routed in layers for name, up in routed.lora_B.items() if name in task.experts)
    return not any(bool(up.any()) for up in ups)


@no_bars()
def folded_body(model: RoutedModel, task: Task, *, classifier: bool = False) -> Any:
    """The backbone read anew from its files, on the CPU, with a task's experts folded in.

    The files' dtype is kept, so that a model held in fewer bits is exported whole.

    Args:
        model: the model.
        task: one of its tasks.
        classifier: with the classification head that the files hold.

    Raises:
        InputError: the routing depends on the text; see `expert_weights`.
        BackboneError: the files cannot be read.
    """
    weights = expert_weights(model, task)
    _check_tables(model, task, weights)
    body = _read(model.path, classifier=classifier)
    inner = getattr(body, body.base_model_prefix) if classifier else body
    for path, routed in model.routed_layers().items():
        linear = inner.get_submodule(path)
        linear.weight.data = fold(linear.weight.data, path, routed, model.experts, task, weights)
    what = f"the weights of {model.backbone_name} with the experts of {task.name!r}"
    check_finite(body.named_parameters(), what)
    return body


def _check_tables(model: RoutedModel, task: Task, weights: Tensor) -> None:
    """Refuse layers whose folded weights would change more than an expert does."""
    config: Any = model.backbone.config
    for path, routed in model.routed_layers().items():
        loud = any(name in routed.lora_A for name in task.experts) and bool(weights.any())
        if loud and sees_tables(config, path):
            raise InputError(
                f"the task {task.name!r} has experts on {path!r}, which also projects positions of "
                f"a {config.model_type}: folded in they would change these, and as experts they do "
                "not. Nearest: experts with other targets, such as value_proj and dense"
            )


def _read(path: Path, *, classifier: bool) -> Any:
    """The model of a folder as transformers has it, frozen and in eval mode."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    read_config(path)
    try:
        config = AutoConfig.from_pretrained(str(path), **LOCAL)
        kind = AutoModelForSequenceClassification if classifier else model_class(config)
        attention = None if classifier else choose_attention(kind, "sdpa")
        body = kind.from_pretrained(
            str(path), dtype="auto", use_safetensors=True, attn_implementation=attention, **LOCAL
        )
    except BackboneError:
        raise
    except Exception as error:  # transformers, safetensors and json each have their own kinds
        raise BackboneError(
            f"could not read the backbone in {path} again ({type(error).__name__}: {error}): "
            "get its files again"
        ) from error
    return body.requires_grad_(False).eval()


@no_bars()
def save_body(body: Any, folder: Path, **settings: Any) -> None:
    """Write `config.json` and `model.safetensors`.

    Args:
        body: a model of transformers.
        folder: where.
        settings: keys of `config.json` that are set.

    Raises:
        CheckpointError: they cannot be written.
    """
    for key, value in settings.items():
        setattr(body.config, key, value)
    with written_by("transformers", folder):
        body.save_pretrained(str(folder))


def longest(model: RoutedModel, task: Task) -> int:
    """Tokens of a task's longest row, special ones included."""
    return min(task.max_tokens, model.rows.max_positions)
