"""Embedders of sentence-transformers, as their makers run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from unimoer_rag.errors import BackboneError
from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.baselines.pins import find_weights, identity_of_weights
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


class SentenceEmbedder(SentenceEmbeds):
    """A sentence-transformers embedder, with the prompts that its files name for either side.

    Args:
        name_or_path: see `find_weights`.
        revision: see `find_weights`.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.

    Raises:
        BackboneError: there is no such model, or it cannot be loaded.
        InputError: a repository of the Hub without a revision, or an unusable argument.
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        with needs_extra("sentence_transformers", "baselines", "an embedder of this kind"):
            from sentence_transformers import SentenceTransformer

        self._facts, model = _load(
            SentenceTransformer, str(name_or_path), revision, device=device, dtype=dtype
        )
        super().__init__(model, name=str(name_or_path))

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The model."""
        return [self._model]

    def describe(self) -> Mapping[str, Any]:
        """The weights, their precision and the prompts."""
        prompts = {side: text for side, text in self._model.prompts.items() if text}
        return {**self._facts, "max_tokens": self._model.max_seq_length, "prompts": prompts}


def _load(
    kind: Callable[..., T], name: str, revision: str | None, *, device: str, dtype: str
) -> tuple[dict[str, Any], T]:
    """A model from pinned or local files, and what is to be said about it."""
    where = choose_device(device)
    precision: torch.dtype = choose_dtype(dtype, where)
    path, commit = find_weights(name, revision)
    read_config(path)
    check_modules(path)
    try:
        model = kind(
            str(path),
            device=str(where),
            **LOCAL,
            model_kwargs={"dtype": precision, "use_safetensors": True},
        )
    except Exception as error:  # sentence-transformers, transformers and json have their own kinds
        raise BackboneError(
            f"could not load {path} ({type(error).__name__}: {error}): expected what "
            f"sentence-transformers saves for a {getattr(kind, '__name__', kind)}, with "
            "safetensors weights"
        ) from error
    check_finite(model.named_parameters(), f"the weights in {path}, in {precision}")
    facts = {"dtype": str(precision).removeprefix("torch."), "library": metadata.version(_LIBRARY)}
    return {"model": name, **identity_of_weights(path, commit), **facts}, model
