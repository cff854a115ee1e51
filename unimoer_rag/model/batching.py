"""Batches: which rows run together, and how they become tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unimoer_rag.model.device import put
from unimoer_rag.model.rows import Row

__all__ = [
    "FEWEST_TOKENS",
    "Batch",
    "count_lanes",
    "default_token_budget",
    "least_saved_tokens",
    "pad_rows",
    "plan_batches",
]

FEWEST_TOKENS = 512
"""Padded tokens of a batch below which no shortage of memory makes batches smaller."""

# Padded tokens a batch. Small batches stay in a CPU's cache; GPUs want them large.
_CPU_TOKENS, _GPU_TOKENS = 1024, 32768
# Tokens saved. A GPU is done with a thousand before the kernels of a second forward are queued.
_CPU_SAVED, _GPU_SAVED = 32, 4096
# Padding that a batch more is worth, as a part of the budget: about what its start takes.
_WORTH = 16
# More batches than this do not wait at a time (`engine.worker._WINDOW` budgets).
_MOST_LANES = 8


def default_token_budget(device: torch.device) -> int:
    """Padded tokens a batch, where nothing else is asked for."""
    return _CPU_TOKENS if device.type == "cpu" else _GPU_TOKENS


def least_saved_tokens(device: torch.device) -> int:
    """Tokens that a second, short forward must save a batch to be worth its start."""
    return _CPU_SAVED if device.type == "cpu" else _GPU_SAVED


def count_lanes(device: torch.device) -> int:
    """How many batches run side by side: one on an accelerator, one a core on a CPU, up to 8."""
    return min(torch.get_num_threads(), _MOST_LANES) if device.type == "cpu" else 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded to one length, on one device.

    Attributes:
        rows: the rows, which may be of different tasks.
        ids: int64 `[rows, tokens]`, padded at the end.
        mask: bool `[rows, tokens]`: real tokens.
        attended: bool `[rows, tokens]`: those that other tokens see (`Row.unattended`); the mask
            itself where they see all.
        types: int64 `[rows, tokens]`, 1 from the document of a pair on; None where the backbone
            knows no segments.
    """

    rows: Sequence[Row]
    ids: Tensor
    mask: Tensor
    attended: Tensor
    types: Tensor | None


def pad_rows(
    rows: Sequence[Row], *, filler: int, typed: bool, device: torch.device, length: int = 0
) -> Batch:
    """Pad rows to the longest of them.

    Args:
        rows: at least one.
        filler: the id behind a row's end; masked, so its value matters only to backbones that
            number positions by it.
        typed: give segment ids.
        device: where the tensors go.
        length: that they are padded to, where the longest is shorter.
    """
    length = max(length, *(len(row.ids) for row in rows))
    ids = torch.tensor([row.ids + [filler] * (length - len(row.ids)) for row in rows])
    lengths = torch.tensor([len(row.ids) for row in rows])
    position = torch.arange(length)
    mask = position < lengths.unsqueeze(1)
    types = None
    if typed:
        second = torch.tensor([row.second[0] or length for row in rows])
        types = put(((position >= second.unsqueeze(1)) & mask).long(), device)
    real = put(mask, device)
    attended = real
    if any(row.unattended for row in rows):
        seen = lengths - torch.tensor([row.unattended for row in rows])
        attended = put(position < seen.unsqueeze(1), device)
    return Batch(rows, put(ids, device), real, attended, types)


def plan_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Split positions into batches of at most `budget` padded tokens, longest first.

    Rows so much shorter than a batch's longest that padding them would cost more than another
    batch begin one.

    Args:
        lengths: tokens of each row.
        budget: rows times longest row of a batch; a single longer row gets a batch of its own.

    Returns:
        Positions into `lengths`; each appears exactly once.
    """
    batches: list[list[int]] = []
    # Longest first: memory peaks at once rather than at the end, and a batch's first row is
    # its longest.
    for n_done, at in enumerate(sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))):
        longest = lengths[batches[-1][0]] if batches else 0
        room = budget // longest - len(batches[-1]) if longest else 0
        padding = min(room, len(lengths) - n_done) * (longest - lengths[at])
        if room > 0 and padding <= budget // _WORTH:
            batches[-1].append(at)
        else:
            batches.append([at])
    return batches
