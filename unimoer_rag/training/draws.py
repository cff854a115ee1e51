"""The order of draws: what comes at a place is a function of the place alone.

Nothing is remembered between draws, so a resumed run goes on exactly where it was, processes can
share the places among them, and memory does not grow with what was drawn.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from unimoer_rag.errors import InputError

__all__ = ["Pick", "SetSampler", "set_weights", "shuffled"]

# Four rounds make a Feistel network a strong permutation; small domains want some more.
_ROUNDS = 6


def shuffled(at: int, total: int, seed: int | str = 0) -> int:
    """The item at a place of an endless walk over shuffled epochs.

    Each epoch visits every item once, in an order of its own. The order is a keyed permutation
    (a Feistel network over the next power of four, walked until it lands inside: Black and
    Rogaway, "Ciphers with Arbitrary Finite Domains", 2002), so nothing is stored.

    Args:
        at: the place, from 0 on.
        total: how many items there are.
        seed: which walk.

    Raises:
        InputError: there are no items, or the place is negative.

    Example:
        >>> sorted(shuffled(at, 5, seed=1) for at in range(5))
        [0, 1, 2, 3, 4]
    """
    if total < 1 or at < 0:
        raise InputError(f"no item at place {at} of a walk over {total}: both must not be below")
    epoch, place = divmod(at, total)
    half = (max(total - 1, 1).bit_length() + 1) // 2
    mask = (1 << half) - 1
    key = f"{seed}-{epoch}-{total}".encode()
    while True:
        left, right = place >> half, place & mask
        for n in range(_ROUNDS):
            mixed = hashlib.blake2b(b"%b-%d-%d" % (key, n, right), digest_size=8).digest()
            left, right = right, left ^ (int.from_bytes(mixed) & mask)
        place = left << half | right
        if place < total:
            return place


def set_weights(
    sizes: Mapping[str, int], *, proportions: Mapping[str, float] = {}, temperature: float = 1.0
) -> dict[str, float]:
    """How often each data set is drawn from, summing to 1.

    By size ** (1 / temperature), as multilingual models sample languages (Arivazhagan et al.,
    "Massively Multilingual Neural Machine Translation in the Wild", 2019): 1 is by size, large
    values approach equal shares.

    Args:
        sizes: items of each data set.
        proportions: shares of each, in place of the sizes; they need not sum to 1.
        temperature: above 0.

    Raises:
        InputError: there are no data sets, one is empty, or a share or the temperature is not
            above 0; names it.

    Example:
        >>> set_weights({"a": 900, "b": 100}, temperature=2.0)
        {'a': 0.75, 'b': 0.25}
    """
    empty = [name for name, size in sizes.items() if size < 1]
    if empty or not sizes:
        raise InputError(f"nothing to draw from: {', '.join(empty) or 'no data sets'}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise InputError(f"temperature is {temperature}: expected a number above 0")
    if proportions and proportions.keys() != sizes.keys():
        odd = sorted(proportions.keys() ^ sizes.keys())
        raise InputError(f"proportions: expected a share for each data set drawn from, see {odd}")
    raw = dict(proportions) or {name: size ** (1 / temperature) for name, size in sizes.items()}
    wrong = [name for name, share in raw.items() if not (share > 0 and math.isfinite(share))]
    if wrong:
        raise InputError(f"proportions: the share of {wrong[0]} is {raw[wrong[0]]}, expected > 0")
    total = sum(raw.values())
    return {name: raw[name] / total for name in sizes}


class Pick(NamedTuple):
    """Which data set a draw comes from.

    Attributes:
        name: of the data set.
        turn: how many earlier draws came from it.
    """

    name: str
    turn: int


class SetSampler:
    """Says of every draw which data set it comes from.

    The draws are in blocks, shuffled inside. After every block each data set has had its share of
    all draws so far, give or take one, so no share drifts however long the run.

    Args:
        weights: share of each data set, above 0 and summing to 1.
        seed: of the order.
    """

    def __init__(self, weights: Mapping[str, float], seed: int | str = 0) -> None:
        self._names, self._seed = list(weights), seed
        bounds, so_far = [0.0], 0.0
        for name in self._names:
            so_far += weights[name]
            bounds.append(so_far)
        self._bounds = [bound / so_far for bound in bounds]
        # No share of a block is below one draw, so the rounding below never takes one back.
        self._block = math.ceil(so_far / min(weights.values()))
        self._order = lru_cache(maxsize=4)(self._make_order)

    def pick(self, index: int) -> Pick:
        """The data set of a draw."""
        block, place = divmod(index, self._block)
        which, earlier = self._order(block)[place]
        return Pick(self._names[which], self._had(block)[which] + earlier)

    def _had(self, blocks: int) -> list[int]:
        """Draws of each data set in the first blocks: its part of the line, ends rounded."""
        ends = [math.floor(blocks * self._block * bound + 0.5) for bound in self._bounds]
        return [right - left for left, right in pairwise(ends)]

    def _make_order(self, block: int) -> Sequence[tuple[int, int]]:
        """Of each place of a block, the data set and how many earlier places of it are there."""
        before, after = self._had(block), self._had(block + 1)
        drawn = [which for which, n in enumerate(before) for _ in range(after[which] - n)]
        random.Random(f"sets-{self._seed}-{block}").shuffle(drawn)
        counts = [0] * len(before)
        order = []
        for which in drawn:
            order.append((which, counts[which]))
            counts[which] += 1
        return order
