"""From a text's token states to its vector: as the backbone was published, or plainly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.model.published import Dense, LayerNorm, Normalize, PoolingMode, Published, Step

if TYPE_CHECKING:
    from unimoer_rag.model.rows import Row

__all__ = ["Pooler", "pool", "steps_of"]


class Pooler(nn.Module):
    """Gives each row its L2-normalised vector. It has no weights to learn, and saves none.

    Args:
        published: how the backbone's folder says that it embeds; None for `pool`.
        causal: the backbone is a decoder.
    """

    def __init__(self, published: Published | None, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self._published = published
        self.steps = nn.Sequential() if published is None else steps_of(published)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> Tensor:
        """Vectors float32 `[rows, dimension]` of unit length.

        Args:
            hidden: last hidden states `[rows, tokens, width]`.
            rows: the rows.
            mask: bool `[rows, tokens]`: real tokens.
        """
        if self._published is None or not self._published.embeds:
            return pool(hidden, mask, causal=self.causal)
        mapped = self.mapped(hidden, rows, mask)
        return functional.normalize(mapped[:, : self._published.cut], dim=-1)

    def dimension(self, width: int) -> int:
        """Size of a vector, of states that have that width."""
        says = self._published
        return says.dimension(width) if says is not None and says.embeds else width

    def mapped(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> Tensor:
        """What comes out of the published steps, float32 `[rows, out]`, as it is."""
        published = self._published
        assert published is not None
        kept = mask if published.include_prompt else _without_prompts(rows, mask)
        states = hidden.float()
        pooled = torch.cat([_pool_by(mode, states, kept) for mode in published.pooling], dim=-1)
        vectors: Tensor = self.steps(pooled)
        return vectors


def steps_of(published: Published) -> nn.Sequential:
    """The published steps as a module, for vectors of any leading shape."""
    return nn.Sequential(*(_Step(step) for step in published.steps))


def pool(hidden: Tensor, mask: Tensor, *, causal: bool) -> Tensor:
    """L2-normalised text vectors: the mean of real tokens, or the last one on decoders.

    Args:
        hidden: `[rows, tokens, width]`.
        mask: bool `[rows, tokens]`.
        causal: the backbone is a decoder.

    Returns:
        float32 `[rows, width]`.
    """
    if causal:
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(-1) - 1].float()
    else:
        weight = mask.float().unsqueeze(-1)
        pooled = (hidden.float() * weight).sum(1) / weight.sum(1)
    return functional.normalize(pooled, dim=-1)


def _without_prompts(rows: Sequence[Row], mask: Tensor) -> Tensor:
    """The mask without the tokens of prompts; whole where a row has nothing else."""
    prompts = torch.tensor([row.n_prompt for row in rows], device=mask.device).unsqueeze(1)
    kept = mask & (torch.arange(mask.shape[1], device=mask.device) >= prompts)
    return torch.where(kept.any(1, keepdim=True), kept, mask)


def _pool_by(mode: PoolingMode, states: Tensor, kept: Tensor) -> Tensor:
    """One vector a row, float32 `[rows, width]`, by a way that sentence-transformers has.

    Args:
        mode: the way.
        states: float32 `[rows, tokens, width]`.
        kept: bool `[rows, tokens]`: the tokens that count; rows are padded at their ends.
    """
    at = torch.arange(kept.shape[1], device=kept.device)
    if mode in ("cls", "lasttoken"):
        first = kept.int().argmax(1)
        place = first if mode == "cls" else torch.where(kept, at, -1).amax(1)
        # `len` would be a constant in an exported graph.
        return states[torch.arange(states.shape[0], device=states.device), place]
    if mode == "max":
        return states.masked_fill(~kept.unsqueeze(-1), -torch.inf).amax(1)
    weight = kept.float()
    if mode == "weightedmean":  # a token counts by its place in the row, from 1
        weight = weight * (at + 1)
    total = weight.sum(1, keepdim=True)
    divisor = total.sqrt() if mode == "mean_sqrt_len_tokens" else total
    return (states * weight.unsqueeze(-1)).sum(1) / divisor


class _Step(nn.Module):
    """One published step. Its weights are the backbone's: buffers, which no checkpoint holds."""

    weight: Tensor
    bias: Tensor | None
    residual: Tensor | None

    def __init__(self, step: Step) -> None:
        super().__init__()
        self._kind = type(step)
        tensors: dict[str, Tensor | None] = {}
        if isinstance(step, Dense):
            self._adds = step.adds
            self.activation: nn.Module = getattr(nn, step.activation)()
            tensors = {"weight": step.weight, "bias": step.bias, "residual": step.residual}
        elif isinstance(step, LayerNorm):
            tensors = {"weight": step.weight, "bias": step.bias}
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Float32 `[..., in]` to `[..., out]`."""
        if self._kind is Normalize:
            return functional.normalize(vectors, dim=-1)
        if self._kind is LayerNorm:
            size = vectors.shape[-1:]
            return functional.layer_norm(vectors, size, self.weight, self.bias)
        mapped: Tensor = self.activation(functional.linear(vectors, self.weight, self.bias))
        if not self._adds:
            return mapped
        beside = vectors if self.residual is None else functional.linear(vectors, self.residual)
        return mapped + beside
