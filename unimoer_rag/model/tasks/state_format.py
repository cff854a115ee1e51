"""Token states in few bytes: neighbours pooled, numbers rounded, one string of bytes a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from unimoer_rag.errors import IndexCorruptError, InputError
from unimoer_rag.model.tasks.late import LateState

__all__ = ["Precision", "StateFormat"]

Precision = Literal["float16", "int8", "binary"]

# Tokens, and those of them that are words, as they open a text's bytes.
_HEADER = np.dtype(("<u4", 2))
_LARGEST = 127


@dataclass(frozen=True, slots=True)
class StateFormat:
    """How the token states of a text are kept for late interaction.

    | precision | kept of a token | bytes |
    |---|---|---|
    | "float16" | its state, as the engine keeps it: nothing is lost | 2 * width |
    | "int8" | 255 steps of its largest number, which is kept beside them | width + 2 |
    | "binary" | the sign of each number, and a factor | width / 8 + 2 |

    A query is never rounded. The factor of a "binary" token makes the estimated cosine of a token
    with itself 1, which leaves that with others nearly unbiased: RaBitQ (Gao & Long 2024,
    2405.12497) without its rotation.

    Pooling keeps the mean of each few neighbouring tokens in their place (Clavie et al. 2024,
    2409.14683). Words and punctuation are pooled apart: what a text asks with as a leader of
    feedback (`LateHead.rank`) stays free of punctuation.

    Args:
        precision: of the numbers.
        pooling: neighbouring tokens that become one, from 1.

    Raises:
        InputError: an unknown precision, or pooling below 1.
    """

    precision: Precision
    pooling: int = 1

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise InputError(
                f"token states are kept as {self.precision!r}: expected one of "
                f"{', '.join(get_args(Precision))}"
            )
        if isinstance(self.pooling, bool) or not isinstance(self.pooling, int) or self.pooling < 1:
            raise InputError(
                f"token states are pooled by {self.pooling!r}: expected how many neighbours become "
                "one, a whole number from 1"
            )

    def pack(self, state: LateState) -> bytes:
        """A text's states as bytes, words first.

        In this order, little-endian: how many tokens and how many of them are words (uint32); the
        text vector (float16 `[width]`); the factor of each token (float16 `[n]`, not for
        "float16"); the tokens row by row, bits of "binary" filled up to whole bytes a token.
        """
        words = _pooled(state.tokens[state.worded], self.pooling)
        marks = _pooled(state.tokens[~state.worded], self.pooling)
        tokens = torch.cat([words, marks]).cpu()
        counts = np.array([len(tokens), len(words)], dtype="<u4")
        parts = (counts, _numpy(state.pooled.half()), *_ENCODERS[self.precision](tokens))
        return b"".join(part.tobytes() for part in parts)

    def unpack(
        self,
        packed: bytes,
        width: int,
        device: torch.device | str = "cpu",
        *,
        text_width: int | None = None,
    ) -> LateState:
        """The states that bytes hold, to be compared by `LateHead`.

        Args:
            packed: made by `pack` in this format.
            width: size of a token's state (`LateScoring.token_width`).
            device: where the states are to be.
            text_width: size of the text vector beside them; None for that of a token.

        Raises:
            IndexCorruptError: the bytes are damaged or of another format or width.
        """
        # A copy that may be written to: torch shares its memory.
        data = np.frombuffer(bytearray(packed), dtype=np.uint8)
        header = _HEADER.itemsize
        n, n_words = (int(x) for x in data[:header].view("<u4")) if len(data) >= header else (0, 1)
        factors = 0 if self.precision == "float16" else 2 * n
        at = header + 2 * (width if text_width is None else text_width)
        row = {"float16": 2 * width, "int8": width, "binary": -(-width // 8)}[self.precision]
        if n_words > n or len(data) != at + factors + n * row:
            raise IndexCorruptError(
                f"{len(data)} bytes of token states are damaged, or not {self.precision} states of "
                f"width {width}: index the documents again into a new index"
            )
        pooled = torch.from_numpy(data[header:at].view("<f2")).float()
        scale = torch.from_numpy(data[at : at + factors].view("<f2")).float() if factors else None
        codes = data[at + factors :].reshape(n, row)
        if self.precision == "float16":
            tokens = torch.from_numpy(codes.view("<f2"))
        elif self.precision == "int8":
            tokens = torch.from_numpy(codes.view(np.int8))
        else:
            bits = np.unpackbits(codes, axis=1, count=width).view(np.int8)
            tokens = torch.from_numpy(2 * bits - 1)
        return LateState(
            tokens=tokens.to(device),
            pooled=pooled.to(device),
            worded=(torch.arange(n) < n_words).to(device),
            scale=None if scale is None else scale.to(device),
        )


def _pooled(tokens: Tensor, factor: int) -> Tensor:
    """The L2-normalised mean of each `factor` neighbours; the last may be fewer."""
    if factor == 1 or not len(tokens):
        return tokens
    group = torch.arange(len(tokens), device=tokens.device) // factor
    sums = tokens.new_zeros(int(group[-1]) + 1, tokens.shape[1], dtype=torch.float32)
    return functional.normalize(sums.index_add_(0, group, tokens.float()), dim=-1)


def _numpy(tensor: Tensor) -> NDArray[np.generic]:
    array: NDArray[np.generic] = tensor.cpu().numpy()
    return array


def _as_float16(tokens: Tensor) -> list[NDArray[np.generic]]:
    return [_numpy(tokens.half())]


def _as_int8(tokens: Tensor) -> list[NDArray[np.generic]]:
    states = tokens.float()
    # The step as it is kept: codes are counted in it.
    step = (states.abs().amax(-1) / _LARGEST).half() if len(states) else states[:, 0].half()
    codes = states / step.float().clamp_min(torch.finfo(torch.float16).tiny).unsqueeze(1)
    return [_numpy(step), _numpy(codes.round().clamp(-_LARGEST, _LARGEST).to(torch.int8))]


def _as_binary(tokens: Tensor) -> list[NDArray[np.generic]]:
    states = tokens.float()
    total = states.abs().sum(-1)
    factor = torch.where(total > 0, 1 / total, 0).half()
    return [_numpy(factor), np.packbits(states.numpy() >= 0, axis=1)]


_ENCODERS: dict[str, Callable[[Tensor], list[NDArray[np.generic]]]] = {
    "float16": _as_float16,
    "int8": _as_int8,
    "binary": _as_binary,
}
