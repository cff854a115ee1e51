"""Linear algebra of representations and of low-rank updates: pure functions of arrays.

- `cka`: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019.
- `effective_rank`: Roy and Vetterli, "The effective rank: a measure of effective dimensionality",
  EUSIPCO 2007.
- `overlap`: the subspace similarity of Hu et al., "LoRA", 2021, section 7.2.
- `principal_angles`: Björck and Golub, "Numerical methods for computing angles between linear
  subspaces", 1973.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError

__all__ = ["cka", "effective_rank", "low_rank_svd", "overlap", "principal_angles"]

Array = NDArray[np.float64]


def cka(first: Array, second: Array) -> float:
    """Linear centred kernel alignment of two representations of the same examples.

    1 where they are equal up to rotation and scale, near 0 where they have nothing in common.

    Args:
        first: `[examples, width]`.
        second: `[examples, other width]`.

    Raises:
        InputError: they are not of the same examples, or one is constant.
    """
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or len(first) < 2:
        raise InputError(
            f"representations of shapes {first.shape} and {second.shape}: expected two of the "
            "same examples, at least two"
        )
    x, y = first - first.mean(axis=0), second - second.mean(axis=0)
    scale = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    if scale == 0.0:
        raise InputError("a representation is the same for all examples: it has no similarity")
    return float(np.linalg.norm(y.T @ x)) ** 2 / scale


def low_rank_svd(up: Array, down: Array) -> tuple[Array, Array, Array]:
    """Singular value decomposition of `up @ down`, without ever making that matrix.

    Args:
        up: `[out, rank]`.
        down: `[rank, in]`.

    Returns:
        `U [out, k]`, the `k` singular values falling, `V [in, k]`, with `k` at most the rank.
    """
    left, lower = np.linalg.qr(up)
    right, upper = np.linalg.qr(down.T)
    u, values, v = np.linalg.svd(lower @ upper.T)
    k = len(values)
    return left @ u[:, :k], values, right @ v.T[:, :k]


def effective_rank(singular_values: Array) -> float:
    """How many directions an operator really has: e to the entropy of its singular values.

    0 for an operator that is zero.
    """
    total = float(singular_values.sum())
    if total == 0.0:
        return 0.0
    shares = singular_values[singular_values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def principal_angles(first: Array, second: Array) -> Array:
    """Angles in radians between two subspaces, rising.

    Args:
        first: `[width, k]`, orthonormal columns.
        second: `[width, l]`, orthonormal columns.
    """
    cosines = np.linalg.svd(first.T @ second, compute_uv=False)
    angles: Array = np.arccos(np.clip(cosines, -1.0, 1.0))
    return angles


def overlap(first: Array, second: Array) -> float:
    """Mean squared cosine of the principal angles: 1 for the same subspace, 0 for orthogonal.

    Two random subspaces of `k` and `l >= k` dimensions in a space of `width` have about
    `l / width`.

    Args:
        first: `[width, k]`, orthonormal columns.
        second: `[width, l]`, orthonormal columns.
    """
    shared = float((np.cos(principal_angles(first, second)) ** 2).sum())
    return shared / int(min(first.shape[1], second.shape[1]))
