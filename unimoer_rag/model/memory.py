"""What a model takes in memory, computed before it is loaded, and the setting that fits a budget.

Weights are counted on the backbone without a number in it, experts are as large as their file, and
activations follow from the sizes of one transformer layer. Computed, never measured.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.batching import FEWEST_TOKENS, count_lanes, default_token_budget
from unimoer_rag.model.device import Precision
from unimoer_rag.model.io.architectures import feed_forward_width
from unimoer_rag.model.io.skeleton import bare_backbone
from unimoer_rag.model.layers.quantized import count_bytes, quantize

__all__ = ["CACHE_BYTES", "MemoryPlan", "choose_plan", "parse_size", "plan_of", "show_size"]

CACHE_BYTES = 256 * 2**20
"""Token states that an engine keeps where nothing else is asked for."""

# Python, torch and transformers, with what their allocators and kernels hold on to.
_LIBRARIES = 512 * 2**20
# Scores of attention are kept for rows up to this long; above, fused kernels keep none.
_SCORED = 512

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:(?:([kmgt])(i?))?b)?\s*")
_MOST_BYTES = 2**63


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of a model in use, by what takes them.

    Attributes:
        dtype: the setting, as `UniMoER.from_pretrained` takes it.
        weights: of the backbone.
        experts: with router and heads, and the experts' matrices side by side as they are used.
        activations: of the batches that run at a time.
        token_budget: padded tokens of each batch.
        cache: token states that the engine keeps.
        libraries: an allowance for Python, torch and transformers.
        loading: of the weights whole, which are in main memory until they are quantized.
        budget: what was asked for; None where nothing was.
    """

    dtype: str
    weights: int
    experts: int
    activations: int
    token_budget: int
    cache: int
    libraries: int
    loading: int
    budget: int | None = None

    @property
    def total(self) -> int:
        """Of all parts in use."""
        return self.weights + self.experts + self.activations + self.cache + self.libraries

    def __str__(self) -> str:
        of = "" if self.budget is None else f" of {show_size(self.budget)}"
        return (
            f"{self.dtype}: {show_size(self.total)}{of} (weights {show_size(self.weights)}, "
            f"experts {show_size(self.experts)}, batches of {self.token_budget:,} tokens "
            f"{show_size(self.activations)}, cache {show_size(self.cache)}, libraries "
            f"{show_size(self.libraries)})"
        )


def parse_size(size: str | int) -> int:
    """Bytes of "4GB", "512 MiB" or a number of them; GB is 1000 to the third, GiB 1024.

    Raises:
        InputError: it is no size, or none above zero.

    >>> parse_size("1.5 GB"), parse_size("2KiB")
    (1500000000, 2048)
    """
    n_bytes = 0.0
    if found := _SIZE.fullmatch(str(size).lower()):
        number, prefix, binary = found.groups()
        power = "kmgt".index(prefix) + 1 if prefix else 0
        n_bytes = float(number) * (1024 if binary else 1000) ** power
    if not 1 <= n_bytes < _MOST_BYTES:
        raise InputError(
            f"memory budget {size!r:.80} is no size: expected a number above 0 with B, KB, MB, GB, "
            "TB, KiB, MiB, GiB or TiB, such as '4GB'"
        )
    return int(n_bytes)


def show_size(n_bytes: int) -> str:
    """Bytes for people: "1.53 GB", "42 MB"."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def plan_of(
    path: Path,
    precision: Precision,
    *,
    experts: int,
    device: torch.device,
    token_budget: int | None = None,
    cache: int = CACHE_BYTES,
    budget: int | None = None,
) -> MemoryPlan:
    """What a model takes with a setting.

    Args:
        path: folder of its backbone; `config.json` is read, no weight is.
        precision: of the weights.
        experts: bytes of experts, router and heads.
        device: where it will run.
        token_budget: padded tokens a batch; by default as the engine's.
        cache: token states that the engine keeps.
        budget: bytes that batches are halved for, down to `FEWEST_TOKENS`, and then the cache cut.

    Raises:
        BackboneError: there is no configuration of a backbone.
    """
    bare = bare_backbone(path, precision.dtype)
    model: Any = bare.model
    config, size, whole = model.config, precision.dtype.itemsize, 0
    loading = count_bytes(model)
    if precision.quantization:
        # The largest layer's quantized weights are whole while it computes.
        linears = (m for m in bare.layers.modules() if isinstance(m, nn.Linear))
        whole = max(linear.weight.numel() for linear in linears)
        quantize(model, bare.layers, precision.quantization)

    def activations(tokens: int) -> int:
        # What a transformer layer holds at a time for a token: eight of the model's width (its
        # input, queries, keys, values, what attention gives, and copies on the way), three of the
        # feed-forward's, and the scores of attention.
        scores = config.num_attention_heads * min(tokens, _SCORED)
        per_token = 8 * config.hidden_size + 3 * feed_forward_width(config) + scores
        return int(count_lanes(device) * size * (tokens * per_token + whole))

    tokens = default_token_budget(device) if token_budget is None else token_budget
    plan = MemoryPlan(
        dtype=str(precision),
        weights=count_bytes(model),
        experts=experts + experts * size // 2,
        activations=activations(tokens),
        token_budget=tokens,
        cache=cache if budget is None else 0,
        libraries=_LIBRARIES,
        loading=loading,
        budget=budget,
    )
    if budget is None:
        return plan
    while plan.total > budget and tokens >= 2 * FEWEST_TOKENS:
        tokens //= 2
        plan = replace(plan, token_budget=tokens, activations=activations(tokens))
    return replace(plan, cache=max(0, min(cache, budget - plan.total)))


def choose_plan(
    path: Path,
    precisions: Sequence[Precision],
    budget: int,
    *,
    experts: int,
    device: torch.device,
) -> MemoryPlan:
    """The first setting that fits; it gets the largest batches that do, and then the cache.

    Args:
        path: folder of the backbone.
        precisions: settings, the preferred ones first.
        budget: bytes.
        experts: bytes of experts, router and heads.
        device: where it will run.

    Raises:
        InputError: none fits; names the smallest.
    """
    plans = []
    for precision in precisions:
        plan = plan_of(path, precision, experts=experts, device=device, budget=budget)
        if plan.total <= budget:
            return plan
        plans.append(plan)
    least = min(plans, key=lambda plan: plan.total)
    raise InputError(
        f"memory budget {show_size(budget)} is too small: the smallest setting, {least.dtype} with "
        f"batches of {least.token_budget:,} tokens and no cache, takes {show_size(least.total)}; "
        "give at least that, or a smaller model"
    )
