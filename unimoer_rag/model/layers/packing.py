"""Packing: the rows of a batch as one row of tokens, without padding.

The backbone then runs over real tokens alone: positions begin again at every row, and attention
stays within a row (`model.packed_attention`). Whatever looks at rows, the router and the heads,
sees them padded as always.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from unimoer_rag.model.device import put

__all__ = ["Packing", "current_packing", "packed", "plan_packing"]


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the tokens of a batch lie in one row.

    Attributes:
        lengths: tokens of each row.
        longest: the most of them.
        places: int64 `[all tokens]`: where each lies in the flattened padded batch.
        owners: int64 `[all tokens]`: the row of each.
        positions: int64 `[1, all tokens]`: where each lies in its row.
        bounds: int32 `[rows + 1]`: where each row begins, and the end.
    """

    lengths: tuple[int, ...]
    longest: int
    places: Tensor
    owners: Tensor
    positions: Tensor
    bounds: Tensor

    def pack(self, padded: Tensor) -> Tensor:
        """`[rows, tokens, ...]`, or `[rows, 1, ...]` that all tokens of a row share, in one row."""
        if padded.shape[1] == self.longest:
            return padded.flatten(0, 1).index_select(0, self.places).unsqueeze(0)
        return padded.squeeze(1).index_select(0, self.owners).unsqueeze(0)

    def pad(self, packed: Tensor) -> Tensor:
        """`[1, all tokens, width]` as `[rows, tokens, width]`, zeros behind a row's end."""
        width = packed.shape[-1]
        flat = packed.new_zeros(len(self.lengths) * self.longest, width)
        flat = flat.index_copy(0, self.places, packed.squeeze(0))
        return flat.view(len(self.lengths), self.longest, width)


def plan_packing(lengths: Sequence[int], device: torch.device) -> Packing:
    """The packing of rows of these lengths, which are padded at their ends to the longest."""
    longest = max(lengths)
    each = torch.tensor(lengths)
    bounds = torch.cat([each.new_zeros(1), each.cumsum(0)])
    owners = torch.arange(len(lengths)).repeat_interleave(each)
    positions = torch.arange(int(bounds[-1])) - bounds[owners]
    return Packing(
        lengths=tuple(lengths),
        longest=longest,
        places=put(owners * longest + positions, device),
        owners=put(owners, device),
        positions=put(positions.unsqueeze(0), device),
        bounds=put(bounds.int(), device),
    )


# A context variable, as the routing is: threads that run one module never meet.
_PACKING: ContextVar[Packing | None] = ContextVar("unimoer_packing", default=None)


def current_packing() -> Packing | None:
    """How the rows of the forward under way are packed; None where they are padded."""
    return _PACKING.get()


@contextmanager
def packed(packing: Packing) -> Iterator[None]:
    """Forwards inside the block are over rows packed so."""
    token = _PACKING.set(packing)
    try:
        yield
    finally:
        _PACKING.reset(token)
