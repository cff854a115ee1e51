"""The files of sentence-transformers' modules, as its versions 2 to 6 read them.

Where an older and a newer name for one thing are both read, the older is written: text-embeddings-
inference and vLLM know that one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from unimoer_rag.model.io.export.folder import write_json
from unimoer_rag.model.io.files import make_folder, write_whole
from unimoer_rag.model.io.published_files import MODULES, SETTINGS
from unimoer_rag.model.published import Dense, LayerNorm, Normalize, PoolingMode, Step

__all__ = [
    "CLASSIFIES",
    "GIVES_TOKENS",
    "TRANSFORMER",
    "Module",
    "pooling",
    "step_module",
    "write_modules",
]

TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
"""The transformer's class in version 6, which alone has models of more than one kind."""

GIVES_TOKENS: Mapping[str, Any] = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
"""Settings of a transformer of version 6 that gives token states."""

CLASSIFIES: Mapping[str, Any] = {
    "transformer_task": "sequence-classification",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "scores",
}
"""Settings of a transformer of version 6 with a classification head."""

_OWN_SETTINGS = "sentence_bert_config.json"
_OLD = "sentence_transformers.models."
_VECTOR = "sentence_embedding"

# The switch of each way to pool, which version 6 gave up for names. Vectors of several ways are
# laid end to end in this order.
_SWITCHES: Mapping[PoolingMode, str] = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


@dataclass(frozen=True, slots=True)
class Module:
    """A module behind the transformer.

    Attributes:
        name: its class.
        kind: the class with its package, as `modules.json` names it.
        config: content of its `config.json`; None for a module without one.
        tensors: its weights.
    """

    name: str
    kind: str
    config: Mapping[str, Any] | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def pooling(modes: Sequence[PoolingMode], width: int, *, include_prompt: bool = True) -> Module:
    """From token states to one vector: those of several modes end to end."""
    switches = {switch: mode in modes for mode, switch in _SWITCHES.items()}
    config: dict[str, Any] = {"word_embedding_dimension": width, **switches}
    if [mode for mode in _SWITCHES if mode in modes] != list(modes):
        config = {"embedding_dimension": width, "pooling_mode": list(modes)}
    config["include_prompt"] = include_prompt
    return Module("Pooling", f"{_OLD}Pooling", config)


def step_module(step: Step, *, of: str = _VECTOR, to: str | None = None) -> Module:
    """A step as a module.

    Args:
        step: the step.
        of: what it works on, as sentence-transformers calls it.
        to: what it gives; by default the same.
    """
    names = {"module_input_name": of, "module_output_name": to or of}
    elsewhere = (
        names if names != {"module_input_name": _VECTOR, "module_output_name": _VECTOR} else {}
    )
    if isinstance(step, Normalize):
        return Module("Normalize", f"{_OLD}Normalize", elsewhere or None)
    if isinstance(step, LayerNorm):
        tensors = {"norm.weight": step.weight, "norm.bias": step.bias}
        return Module("LayerNorm", f"{_OLD}LayerNorm", {"dimension": len(step.weight)}, tensors)
    return Module("Dense", f"{_OLD}Dense", {**_dense_config(step), **elsewhere}, _dense(step))


def _dense_config(step: Dense) -> dict[str, Any]:
    kind = getattr(nn, step.activation)
    return {
        "in_features": step.weight.shape[1],
        "out_features": step.weight.shape[0],
        "bias": step.bias is not None,
        "activation_function": f"{kind.__module__}.{kind.__name__}",
        **({"use_residual": True} if step.adds else {}),
    }


def _dense(step: Dense) -> dict[str, Tensor]:
    named = {
        "linear.weight": step.weight,
        "linear.bias": step.bias,
        "residual.weight": step.residual,
    }
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def write_modules(
    folder: Path,
    modules: Iterable[Module],
    *,
    transformer: Mapping[str, Any],
    settings: Mapping[str, Any],
    kind: str = f"{_OLD}Transformer",
) -> None:
    """Write what a folder says of its modules.

    Args:
        folder: holds the transformer's own files.
        modules: those behind it, in order.
        transformer: settings of the transformer.
        settings: of the whole: prompts, similarity.
        kind: the transformer's class.
    """
    listed = [{"idx": 0, "name": "0", "path": "", "type": kind}]
    for at, module in enumerate(modules, start=1):
        where = f"{at}_{module.name}"
        listed.append({"idx": at, "name": str(at), "path": where, "type": module.kind})
        make_folder(folder / where)
        if module.config is not None:
            write_json(folder / where / "config.json", module.config)
        if module.tensors:
            plain = {name: tensor.cpu().contiguous() for name, tensor in module.tensors.items()}
            data = to_bytes(plain, metadata={"format": "pt"})
            write_whole(folder / where / "model.safetensors", data)
    write_json(folder / MODULES, listed)
    write_json(folder / _OWN_SETTINGS, transformer)
    write_json(folder / SETTINGS, settings)
