"""The live model of a component: named when the component is made, loaded when it is warmed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from haystack import default_from_dict

from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.engine import Engine, SharedModel
    from unimoer_rag.model import UniMoER

__all__ = ["LazyModel", "ModelComponent"]


class LazyModel:
    """What names a model; components that name the same one hold one live model.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.

    Raises:
        InputError: one of these is no text.
    """

    def __init__(self, model: str, *, revision: str | None, device: str, dtype: str) -> None:
        self.settings: dict[str, Any] = {
            "model": model,
            "revision": revision,
            "device": device,
            "dtype": dtype,
        }
        for name, value in self.settings.items():
            if not isinstance(value, str) and not (name == "revision" and value is None):
                raise InputError(
                    f"{name} is a {type(value).__name__}: expected a text, such as "
                    "model='unimoer-minilm', device='cuda:0', dtype='float32'"
                )
        self._shared: SharedModel | None = None

    def load(self) -> SharedModel:
        """The model, loaded the first time, or shared with whoever has it loaded.

        Raises:
            CheckpointError: no checkpoint there, or a damaged one.
            BackboneError: its backbone cannot be had.
            InputError: the device or dtype cannot be used.
        """
        if self._shared is None:
            # Here, since it imports torch, which importing a component must not.
            from unimoer_rag.engine import SharedModel

            rest = {name: value for name, value in self.settings.items() if name != "model"}
            self._shared = SharedModel(self.settings["model"], **rest)
        return self._shared

    @property
    def engine(self) -> Engine:
        """The engine that everybody who holds the model shares."""
        return self.load().engine

    @property
    def unimoer(self) -> UniMoER:
        """The live model."""
        return self.load().model


class ModelComponent:
    """What components that name a model have in common; their `__init__` sets `_model`."""

    _model: LazyModel

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` told of."""
        return default_from_dict(cls, data)

    def warm_up(self) -> None:
        """Load the model, or share the one that is loaded.

        Raises:
            CheckpointError: no checkpoint there, or a damaged one.
            BackboneError: its backbone cannot be had.
            InputError: the device or dtype cannot be used.
        """
        self._model.load()

    @property
    def unimoer(self) -> UniMoER:
        """The live model, which everything that names the same checkpoint holds."""
        return self._model.unimoer
