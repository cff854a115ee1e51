"""Vectors by key, and the nearest of them, in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyedVectors"]

# By how much a fast dot product of unit vectors may be wrong.
_ROUNDING = 1e-4


class KeyedVectors:
    """The rows of a matrix of unit vectors, each with a key.

    Args:
        dimension: their length.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._matrix = np.empty((0, dimension), np.float32)

    def put(self, key: str, vector: NDArray[np.float32]) -> None:
        """Append a vector under a key that is not there yet."""
        place = len(self._keys)
        if place == len(self._matrix):
            larger = np.empty((max(64, 2 * place), self.dimension), np.float32)
            larger[:place] = self._matrix
            self._matrix = larger
        self._matrix[place] = _unit(vector)
        self._keys.append(key)
        self._places[key] = place

    def drop(self, key: str) -> None:
        """Remove a key; the last row takes its place."""
        place, last = self._places.pop(key), self._keys.pop()
        if last != key:
            self._matrix[place] = self._matrix[len(self._keys)]
            self._keys[place] = last
            self._places[last] = place

    def nearest(
        self, query: NDArray[np.float32], limit: int, keys: Sequence[str] | None = None
    ) -> list[tuple[str, float]]:
        """The keys of the nearest vectors with their cosines; ties by key.

        Args:
            query: a vector.
            limit: how many, at most.
            keys: those to choose from; None for all.
        """
        places = np.arange(len(self._keys))
        if keys is not None:
            places = np.array([self._places[key] for key in keys], dtype=np.int64)
        if not len(places):
            return []
        unit = _unit(query)
        rows = self._matrix[: len(self._keys)] if keys is None else self._matrix[places]
        if limit < len(places):
            rough = rows @ unit
            least = np.partition(rough, -limit)[-limit] - _ROUNDING
            near = np.flatnonzero(rough >= least)
            places, rows = places[near], rows[near]
        # Row by row: a matrix product gives equal rows scores that differ in their last bits,
        # by where they stand.
        cosines = (rows * unit).sum(axis=1, dtype=np.float64)
        scored = zip(places.tolist(), cosines.tolist(), strict=True)
        best = sorted((-cosine, self._keys[place]) for place, cosine in scored)
        return [(key, -cosine) for cosine, key in best[:limit]]


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    exact = np.asarray(vector, dtype=np.float64)
    norm = float(np.linalg.norm(exact))
    return (exact / norm if norm else exact).astype(np.float32)
