"""Sequences whose items are made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar, overload

__all__ = ["ByPlace"]

T = TypeVar("T")


class ByPlace(Sequence[T]):
    """Items by place, from the end and in slices as of a list; none is held in memory."""

    @abstractmethod
    def at(self, place: int) -> T:
        """The item at a place from 0 on that there is."""

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> list[T]: ...

    def __getitem__(self, place: Any) -> Any:
        found = range(len(self))[place]  # negative places, slices, IndexError
        return [self.at(one) for one in found] if isinstance(found, range) else self.at(found)
