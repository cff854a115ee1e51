"""A backbone with experts that are new and silent: what it equals, and what it is known by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.device import choose_device, choose_precision
from unimoer_rag.model.io.backbone import Backbone, load_backbone, resolve_backbone
from unimoer_rag.model.io.files import file_digest, local_folder
from unimoer_rag.model.io.known import BACKBONES, BackboneSpec, canonical
from unimoer_rag.model.io.published import read_published
from unimoer_rag.model.spec import ModelSpec, published_fields

__all__ = ["build"]

M = TypeVar("M", bound=RoutedModel)

_PROMPTS = ("query_instruction", "document_instruction")


def build(
    kind: type[M],
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "sdpa",
    **options: Any,
) -> M:
    """See `UniMoER.from_backbone`; of that class, or one derived from it."""
    where, name = choose_device(device), canonical(name)
    precision = choose_precision(dtype, where)
    path = resolve_backbone(name)
    known = BACKBONES.get(name)
    published = read_published(path) if known is None or known.published else None
    backbone = load_backbone(
        path,
        dtype=precision.dtype,
        device=where,
        attention=attention,
        quantization=precision.quantization,
        published=published,
    )
    options = _own_options(known, backbone, options)
    model = kind(backbone, name=_kept_name(name), **options)
    _check_dimension(name, known, model)
    identity = _embeds_as(path, model)
    model.set_origin(model.checkpoint, hashlib.sha256(identity.encode()).hexdigest())
    model.eval().set_unpadded("auto")
    return model


def _own_options(
    known: BackboneSpec | None, backbone: Backbone, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of a model, what its backbone brings along in the place of what is not given."""
    published = backbone.published
    if published is not None and known is not None and not published.dimensions:
        published = replace(published, dimensions=known.dimensions)
    own = {} if published is None else published_fields(published, backbone.width)
    own |= _unsaid(known, own)
    spec: ModelSpec | None = options.get("spec")
    if spec is None:
        return {**own, **options}
    # A recipe's, say, which has tasks of its own; where it has no prompt, it is trained with these.
    prompts = _PROMPTS if published is not None else ()
    taken = {name: own[name] for name in prompts if name in own and not getattr(spec, name)}
    return {**taken, **options}


def _unsaid(known: BackboneSpec | None, own: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a backbone and its folder does not say: what goes before its texts."""
    if known is None:
        return {}
    if any(own.get(field) for field in _PROMPTS):
        return {}
    return {field: text for field in _PROMPTS if (text := getattr(known, field))}


def _check_dimension(name: str, known: BackboneSpec | None, model: RoutedModel) -> None:
    """Raise where the files of a pin that nobody could compare here are another model's."""
    if known is None or known.kind != "embedding" or known.dimension == model.dimension:
        return
    raise BackboneError(
        f"{name} embeds in {known.dimension} dimensions, and the files in {model.path} in "
        f"{model.dimension}: they are not those of {known.repo} at {known.revision}; delete them "
        "and download them again"
    )


def _embeds_as(path: Path, model: RoutedModel) -> str:
    """All that an embedding of a backbone depends on, as one text: the same by name or folder."""
    prompts = model.query_instruction
    if model.published is None:
        own = f"|{model.document_instruction}" if model.document_instruction else ""
        return f"{_weights_digest(path)}|{prompts}{own}"
    return f"{model.published.digest}|{prompts}|{model.document_instruction}"


def _kept_name(name: str) -> str:
    """The name to save: a folder's in full, so that another working directory finds it."""
    folder = None if name in BACKBONES else local_folder(name)
    return name if folder is None else str(folder.resolve())


def _weights_digest(folder: Path) -> str:
    """SHA-256 over the weight files of a backbone folder, in name order."""
    whole = hashlib.sha256()
    try:
        for file in sorted(folder.glob("*.safetensors")):
            whole.update(file_digest(file).encode())
    except OSError as error:
        raise BackboneError(
            f"cannot read the weights in {folder} ({error}): make them readable, or get them again"
        ) from error
    return whole.hexdigest()
