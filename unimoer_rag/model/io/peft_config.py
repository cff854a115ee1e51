"""What a PEFT adapter's configuration says: plain LoRA with its scales, and nothing else.

PEFT writes every setting that it has, most of them at their defaults. A setting that is not known
here may change what the adapter computes, so that any value of it but "off" is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.errors import CheckpointError
from unimoer_rag.json_text import read_json

__all__ = ["LoraConfig", "read_lora"]

_MOST_RANK = 4096

# Settings that decide nothing once the adapter is trained: which layers it has, its tensors say.
_OF_TRAINING = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "lora_dropout",
        "peft_version",
        "qalora_group_size",  # of use_qalora
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
    }
)

# Settings that are computed with here.
_COMPUTED = frozenset(
    {"alpha_pattern", "lora_alpha", "peft_type", "r", "rank_pattern", "use_rslora"}
)

# Settings with a default that is a value; any other is off where it is null, false or empty.
_DEFAULTS: Mapping[str, Any] = {"bias": "none", "megatron_core": "megatron.core"}

# How the matrices began, where the frozen weights stayed what they were.
_KEEP_WEIGHTS = (True, False, None, "gaussian", "orthogonal", "eva")
# Where a part of the frozen weights was taken away, which follows from these weights alone. Of
# others (corda, loftq, lora_ga, pissa by a randomised decomposition) nothing here tells the part.
_TAKE_PART = ("pissa", "olora")

_REMEDY = "expected plain LoRA"
_PLAIN_NAME = re.compile(r"\^?[\w.-]+")


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """The sizes and scales of a plain LoRA adapter.

    Attributes:
        r: rank of the layers that no pattern names.
        alpha: likewise.
        rslora: the scale is `alpha / sqrt(r)`, not `alpha / r` (arXiv 2312.03732).
        ranks: rank by the end of a layer's name.
        alphas: alpha by the end of a layer's name.
        taken: how the part of the frozen weights was chosen that was taken from them before the
            training: "pissa" or "olora"; empty where they stayed.
    """

    r: int
    alpha: float
    rslora: bool
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    taken: str = ""

    def rank(self, layer: str) -> int:
        """The rank of a layer, by its name in the adapted model."""
        return self.ranks.get(_key(self.ranks, layer), self.r)

    def scale(self, layer: str) -> float:
        """The factor on a layer's `B A x`."""
        rank, alpha = self.rank(layer), self.alphas.get(_key(self.alphas, layer), self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def part(self, layer: str, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What was taken of a layer's frozen weight: `scale * up @ down` of this `down` and `up`.

        The largest singular values (PiSSA, arXiv 2404.02948), or the first rows of a QR
        decomposition (OLoRA, arXiv 2406.01775).

        Args:
            layer: its name in the adapted model.
            weight: the whole weight `[out, in]`.
        """
        rank, whole = self.rank(layer), weight.float()
        if self.taken == "olora":
            q, r = torch.linalg.qr(whole)
            return r[:rank], q[:, :rank]
        u, s, v = torch.linalg.svd(whole, full_matrices=False)
        return v[:rank], u[:, :rank] * s[:rank] / self.scale(layer)


def read_lora(path: Path) -> LoraConfig:
    """The configuration of a plain LoRA adapter, from its `adapter_config.json`.

    Raises:
        CheckpointError: it is missing, damaged, of another kind of adapter, or sets what changes
            the result and is not computed here; names the setting and its value.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: expected the folder of a PEFT LoRA adapter")
    content = read_json(path, error=CheckpointError)
    if not isinstance(content, dict) or "peft_type" not in content:
        raise CheckpointError(
            f"{path} is no configuration of a PEFT adapter: expected one saved by peft"
        )
    if content["peft_type"] != "LORA":
        raise CheckpointError(f"{path} describes a {content['peft_type']!r:.80} adapter: {_REMEDY}")
    _refuse_others(path, content)
    return LoraConfig(
        r=_rank(path, "r", content.get("r", 8)),
        alpha=_alpha(path, "lora_alpha", content.get("lora_alpha", 8)),
        rslora=_flag(path, "use_rslora", content.get("use_rslora")),
        ranks={k: _rank(path, f"rank_pattern.{k}", v) for k, v in _pattern(path, content, "rank")},
        alphas={
            k: _alpha(path, f"alpha_pattern.{k}", v) for k, v in _pattern(path, content, "alpha")
        },
        taken=init if (init := content.get("init_lora_weights")) in _TAKE_PART else "",
    )


def _refuse_others(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse settings that change what is computed, and those that nobody here knows."""
    init = content.get("init_lora_weights", True)
    if not any(init is kept or init == kept for kept in (*_KEEP_WEIGHTS, *_TAKE_PART)):
        raise CheckpointError(
            f"{path} sets init_lora_weights to {init!r:.80}, which changed the frozen weights: "
            f"{_REMEDY}; PEFT turns such an adapter into it by save_pretrained(..., "
            "path_initial_model_for_weight_conversion=...)"
        )
    known = _OF_TRAINING | _COMPUTED | {"init_lora_weights"}
    for key, value in content.items():
        if key not in known and value and value != _DEFAULTS.get(key):
            raise CheckpointError(
                f"{path} sets {key} to {value!r:.80}, which an expert cannot express: {_REMEDY}"
            )


def _key(patterns: Mapping[str, Any], layer: str) -> str:
    """The first pattern that a layer's name ends with, as PEFT looks for it."""
    for key in patterns:
        if re.match(rf"(?:.*\.)?(?:{key})$", layer):
            return key
    return layer


def _pattern(path: Path, content: Mapping[str, Any], kind: str) -> list[tuple[str, Any]]:
    name = f"{kind}_pattern"
    found = content.get(name) or {}
    if not isinstance(found, dict):
        raise _wrong(path, name, found, "an object of names of layers")
    for key in found:
        # PEFT takes any regular expression, some of which never end.
        if not _PLAIN_NAME.fullmatch(key):
            raise _wrong(path, name, key, "names of layers, or ends of them")
    return list(found.items())


def _rank(path: Path, name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_RANK:
        raise _wrong(path, name, value, f"a rank from 1 to {_MOST_RANK}")
    return value


def _alpha(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e6:
        raise _wrong(path, name, value, "a number above 0")
    return float(value)


def _flag(path: Path, name: str, value: Any) -> bool:
    if value not in (None, True, False):
        raise _wrong(path, name, value, "true or false")
    return bool(value)


def _wrong(path: Path, name: str, value: Any, expected: str) -> CheckpointError:
    return CheckpointError(f"{path}: {name} is {value!r:.80}: expected {expected}")
