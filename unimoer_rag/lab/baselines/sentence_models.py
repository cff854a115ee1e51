"""Embedders of sentence-transformers, as their makers run them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from unimoer_rag.errors import BackboneError
from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.baselines.pins import find_weights, identity_of_weights
from unimoer_rag.lab.baselines.pretrained import Pretrained
from unimoer_rag.model import (
    LOCAL,
    check_finite,
    check_modules,
    choose_device,
    choose_dtype,
    read_config,
)
from unimoer_rag.retrieval import SentenceEmbeds

__all__ = ["SentenceEmbedder"]

T = TypeVar("T", bound=nn.Module)

_LIBRARY = "sentence-transformers"


class _SentenceModel(Pretrained):
    """A model of sentence-transformers; arguments and errors are those of `Pretrained`.

    Attributes:
        kind: its class in sentence-transformers.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """

    kind: ClassVar[str]
    _model: Any  # its port keeps it

    def _load(self) -> None:
        with needs_extra("sentence_transformers", "baselines", f"a {self.kind}"):
            import sentence_transformers

        name, where = str(self.name_or_path), choose_device(self.device)
        self._facts, model = _opened(
            getattr(sentence_transformers, self.kind),
            name,
            self.revision,
            device=where,
            dtype=choose_dtype(self.dtype, where),
        )
        self._take(model, name)

    @abstractmethod
    def _take(self, model: Any, name: str) -> None:
        """Put what was loaded behind its port."""

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The model."""
        return [self._model]

    def describe(self) -> Mapping[str, Any]:
        """The weights, their precision and the limit."""
        return {**self._facts, "max_tokens": self._model.max_seq_length}


class SentenceEmbedder(_SentenceModel, SentenceEmbeds):
    """A sentence-transformers embedder, with the prompts that its files name for either side.

    Arguments and errors are those of `_SentenceModel`.
    """

    kind = "SentenceTransformer"

    def _take(self, model: Any, name: str) -> None:
        SentenceEmbeds.__init__(self, model, name=name)

    def describe(self) -> Mapping[str, Any]:
        """The weights, their precision, the limit and the prompts."""
        prompts = {side: text for side, text in self._model.prompts.items() if text}
        return {**super().describe(), "prompts": prompts}


def _opened(
    kind: Callable[..., T],
    name: str,
    revision: str | None,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[dict[str, Any], T]:
    """What is to be said about a model from pinned or local files, and the model."""
    path, commit = find_weights(name, revision)
    read_config(path)
    check_modules(path)
    try:
        model = kind(
            str(path),
            device=str(device),
            **LOCAL,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        )
    except Exception as error:  # sentence-transformers, transformers and json have their own kinds
        raise BackboneError(
            f"could not load {path} ({type(error).__name__}: {error}): expected what "
            f"sentence-transformers saves for a {getattr(kind, '__name__', kind)}, with "
            "safetensors weights"
        ) from error
    check_finite(model.named_parameters(), f"the weights in {path}, in {dtype}")
    facts = {"dtype": str(dtype).removeprefix("torch."), "library": metadata.version(_LIBRARY)}
    return {"model": name, **identity_of_weights(path, commit), **facts}, model
