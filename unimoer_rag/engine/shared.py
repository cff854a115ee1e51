"""A model by name, for objects that are copied, pickled and sent to other processes."""

from __future__ import annotations

from typing import Any

from unimoer_rag.engine.engine import Engine
from unimoer_rag.model import UniMoER

__all__ = ["SharedModel"]


class SharedModel:
    """The live model of a name, and its engine: one for every holder in a process.

    Pickled, it is its name: another process loads the model by it, once, however many objects
    arrive. Copied, it is itself. An adapter of a framework keeps one in place of the model.

    Args:
        name: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.

    Attributes:
        name: the name it goes by.
        model: the live model.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        InputError: the device or dtype cannot be used.

    >>> SharedModel("unimoer-minilm").model is SharedModel("unimoer-minilm").model  # doctest: +SKIP
    True
    """

    def __init__(
        self, name: str, *, revision: str | None = None, device: str = "auto", dtype: str = "auto"
    ) -> None:
        self.name, self.revision, self.device, self.dtype = name, revision, device, dtype
        self.model = UniMoER.from_pretrained(name, revision=revision, device=device, dtype=dtype)

    @property
    def engine(self) -> Engine:
        """The engine that everybody who holds the model shares."""
        return Engine.of(self.model)

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, (self.name, self.revision, self.device, self.dtype)

    # Not by name: the files may have changed since, and a copy goes on with the same weights.
    def __copy__(self) -> SharedModel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedModel:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedModel) and other.model is self.model

    def __hash__(self) -> int:
        return id(self.model)

    def __repr__(self) -> str:
        return f"SharedModel({self.name!r})"


def _load(name: str, revision: str | None, device: str, dtype: str) -> SharedModel:
    return SharedModel(name, revision=revision, device=device, dtype=dtype)
