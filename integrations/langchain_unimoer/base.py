"""What the adapters have in common: settings that name a model, and the live model itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

if TYPE_CHECKING:
    from unimoer_rag.engine import Engine, SharedModel
    from unimoer_rag.model import UniMoER

__all__ = ["SharesModel"]


class SharesModel(BaseModel):
    """An adapter that holds the live model of a name, loaded when the adapter is made.

    It is pickled and copied as its settings: a copy holds the same live model, and another
    process loads the model by its name. The settings are fixed: `model_copy(update=...)` gives an
    adapter with others. The model may be the first argument, as it is elsewhere in the library.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Not `kw_only`: type checkers let it be the first argument, too.
    model: str = Field("unimoer-minilm", kw_only=False)
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"

    _shared: SharedModel = PrivateAttr()

    def __init__(self, model: Any = ..., **settings: Any) -> None:
        super().__init__(**settings if model is ... else {"model": model, **settings})

    def model_post_init(self, context: Any) -> None:
        """Load the model, or share the one that is loaded."""
        # Here, since it imports torch, which importing the adapters must not.
        from unimoer_rag.engine import SharedModel

        self._shared = SharedModel(
            self.model, revision=self.revision, device=self.device, dtype=self.dtype
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with some settings changed.

        Made anew, so that the changed settings are checked and the model is the one they name.
        """
        return type(self)(**{**dict(self), **(update or {})})

    @property
    def unimoer(self) -> UniMoER:
        """The live model, which everything that names the same checkpoint holds."""
        return self._shared.model

    @property
    def _engine(self) -> Engine:
        return self._shared.engine
