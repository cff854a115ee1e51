"""Folders of cross-encoders, read as values.

| written by | says in |
|---|---|
| transformers | `config.json`: the class, as `BertForSequenceClassification`, and its labels |
| sentence-transformers, `CrossEncoder` | also `config_sentence_transformers.json`, `modules.json` |

A logit is what is taken of them. The activation that a folder names orders documents as the logit
does, or the folder is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.classification import head_layers
from unimoer_rag.model.io.pretrained import LOCAL, read_config, read_tensors
from unimoer_rag.model.io.published_files import (
    MODULES,
    SETTINGS,
    folder_digest,
    max_tokens,
    prompts_of,
    read_architectures,
    read_modules,
    read_object,
    transformer_settings,
)
from unimoer_rag.model.io.published_steps import read_pooling, read_step
from unimoer_rag.model.published import Dense, Published
from unimoer_rag.model.published_cross import Classifier, PairScoring

__all__ = ["CLASSIFIERS", "is_cross", "read_cross"]

CLASSIFIERS = (
    "bert", "camembert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta",
    "xlm-roberta",
)  # fmt: skip
"""Architectures whose classification head is known to need no more than the last hidden states."""

_CLASS = "ForSequenceClassification"
_ONE = "expected a cross-encoder with one (num_labels 1), such as ms-marco-MiniLM-L6-v2"


def is_cross(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a folder is that of a cross-encoder.

    Args:
        folder: the model's.
        settings: its `config_sentence_transformers.json`.
    """
    kind = settings.get("model_type")
    return kind == "CrossEncoder" or (
        not (folder / MODULES).is_file() and _architecture(folder).endswith(_CLASS)
    )


def read_cross(folder: Path, settings: Mapping[str, Any]) -> Published:
    """What the folder of a cross-encoder says; see `is_cross`.

    Raises:
        BackboneError: a file is damaged, it gives several scores, or it cannot be run here as it
            was published.
    """
    listed = (folder / MODULES).is_file()
    modules = read_modules(folder / MODULES) if listed else [("Transformer", "")]
    names = [name for name, _ in modules]
    if names == ["Transformer"]:
        own = transformer_settings(folder, modules, role="classifies")
        scoring = Published(cross=PairScoring(_classifier(folder)))
    elif names[:2] == ["Transformer", "Pooling"]:
        own = transformer_settings(folder, modules)
        scoring = _chain(folder, modules)
    else:
        raise BackboneError(
            f"{folder} scores pairs by {', '.join(names)}: expected a transformer's classification "
            "head, or Transformer, Pooling and Dense; choose a cross-encoder that has one"
        )
    _check_activation(folder, settings)
    prompts = prompts_of(settings, folder / SETTINGS)
    prompt = prompts.get(str(settings.get("default_prompt_name"))) or ""
    if prompt and not scoring.include_prompt:
        raise BackboneError(
            f"{folder} leaves its prompt {prompt!r:.80} out of what is pooled (include_prompt): "
            "that is done for single texts alone; choose another cross-encoder"
        )
    return Published(
        pooling=scoring.pooling,
        include_prompt=scoring.include_prompt,
        steps=scoring.steps,
        query_prompt=prompt,
        max_tokens=max_tokens(folder, own),
        lower_case=bool(own.get("do_lower_case", False)),
        digest=folder_digest(folder),
        cross=scoring.cross,
    )


def _architecture(folder: Path) -> str:
    return next(iter(read_architectures(folder)), "")


def _classifier(folder: Path) -> Classifier:
    """The head of a sequence classification model with one label."""
    from transformers import AutoConfig

    said = read_config(folder)
    kind, name = said.get("model_type"), _architecture(folder)
    if kind not in CLASSIFIERS or not name.endswith(_CLASS):
        raise BackboneError(
            f"{folder} is a {name or kind}: expected a classification head of one of "
            f"{', '.join(CLASSIFIERS)}; choose a cross-encoder on one of these"
        )
    try:
        config = AutoConfig.from_pretrained(str(folder), **LOCAL)
        layers = head_layers(config)
    except Exception as error:  # transformers and torch each have their own kinds
        raise BackboneError(
            f"no model can be made of {folder / 'config.json'} ({type(error).__name__}: {error}): "
            "get the model's files again"
        ) from error
    if config.num_labels != 1:
        raise BackboneError(f"{folder} gives {config.num_labels} scores for a pair: {_ONE}")
    again = "get the model's files again"
    tensors = read_tensors(folder, list(layers), what=f"trained head of a {name}", expected=again)
    for key, shape in layers.items():
        if tensors[key].shape != shape:
            raise BackboneError(
                f"{folder}: {key} is of shape {tuple(tensors[key].shape)}, expected "
                f"{tuple(shape)}: {again}"
            )
    return Classifier(config, {key: tensor.float() for key, tensor in tensors.items()})


def _chain(folder: Path, modules: list[tuple[str, str]]) -> Published:
    """Pooling and what is behind it, the last of which gives the score."""
    pooling, include_prompt = read_pooling(folder / modules[1][1])
    *rest, (last, where) = modules[2:] or [("nothing", "")]
    steps = [read_step(name, folder / place) for name, place in rest]
    final = read_step(last, folder / where, of=None) if last == "Dense" else None
    if not isinstance(final, Dense) or len(final.weight) != 1:
        gives = len(final.weight) if isinstance(final, Dense) else "no"
        raise BackboneError(f"{folder} gives {gives} scores for a pair: {_ONE}")
    return Published(
        pooling=pooling,
        include_prompt=include_prompt,
        steps=tuple(step for step in (*steps, final) if step is not None),
        cross=PairScoring(),
    )


def _check_activation(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse what would order documents otherwise than the logit does."""
    config = read_object(folder / "config.json")
    own = config.get("sentence_transformers") or {}
    named = (
        settings.get("activation_fn"),
        own.get("activation_fn") if isinstance(own, dict) else own,
        config.get("sbert_ce_default_activation_function"),
    )
    for activation in named:
        if activation and str(activation).rpartition(".")[2] not in ("Identity", "Sigmoid"):
            raise BackboneError(
                f"{folder} puts its scores through {activation!r:.200}: expected Sigmoid or "
                "Identity of torch.nn; choose another cross-encoder"
            )
