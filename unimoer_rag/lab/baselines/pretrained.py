"""What every baseline with weights of its own is made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

__all__ = ["Pretrained"]


@dataclass(eq=False)
class Pretrained(ABC):
    """A baseline of published weights; one with options of its own declares them as fields.

    Args:
        name_or_path: see `find_weights`.
        revision: see `find_weights`.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.

    Raises:
        BackboneError: there is no such model, it is of another kind, or it cannot be loaded.
        InputError: a repository of the Hub without a revision, or an unusable argument.
    """

    name_or_path: str | Path
    _: KW_ONLY
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        self._load()

    @abstractmethod
    def _load(self) -> None:
        """Load the weights, and make of them what scoring needs."""
