"""Loading: from a name to a live model, shared while anyone holds it.

| name | gives |
|---|---|
| a shipped checkpoint ("unimoer-minilm") | that checkpoint |
| a key of `BACKBONES` ("minilm") | the frozen backbone, untrained |
| a folder with `adapter_config.json` | that checkpoint |
| a folder with `config.json` | that backbone, untrained |
| `owner/name` with a revision | the Hub's checkpoint, or its backbone, untrained |
| `owner/name@<commit>` | the Hub's backbone, untrained |
"""

from __future__ import annotations

import threading
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from unimoer_rag.errors import CheckpointError, DigestMismatchError, InputError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.device import QUANTIZATIONS, Precision, choose_device, choose_precision
from unimoer_rag.model.io.backbone import load_backbone, resolve_backbone
from unimoer_rag.model.io.building import build
from unimoer_rag.model.io.checkpoint import (
    CONFIG,
    WEIGHTS,
    config_digest,
    read_config,
    read_tensors,
    set_tensors,
)
from unimoer_rag.model.io.config import CheckpointConfig
from unimoer_rag.model.io.expected import check_fit
from unimoer_rag.model.io.files import file_digest, local_folder
from unimoer_rag.model.io.known import BACKBONES
from unimoer_rag.model.io.places import locate_model
from unimoer_rag.model.io.published import read_published
from unimoer_rag.model.io.published_files import folder_digest
from unimoer_rag.model.layers.onednn import use_onednn
from unimoer_rag.model.memory import MemoryPlan, choose_plan, parse_size, plan_of
from unimoer_rag.model.published import Published
from unimoer_rag.model.untrained import warn_if_untrained

__all__ = ["build", "load", "load_own", "memory_table"]

M = TypeVar("M", bound=RoutedModel)

_live: weakref.WeakValueDictionary[tuple[object, ...], Any] = weakref.WeakValueDictionary()
_loading = threading.Lock()

# What gives way to what under a memory budget; a dtype that was asked for by name stays.
_STEPS = {"auto": ("auto", "int8", "int4")}


def load(
    kind: type[M],
    name: str | Path,
    *,
    revision: str | None,
    device: str,
    dtype: str,
    memory_budget: str | int | None = None,
) -> M:
    """See `UniMoER.from_pretrained`; of that class, or one derived from it."""
    where, name = choose_device(device), str(name)
    # One at a time: two callers asking for the same model at once must get the same one.
    with _loading:
        name, folder = locate_model(name, revision)
        identity = _identity(name, folder)
        plan = None
        if memory_budget is not None:
            plan = _plan(name, revision, identity, parse_size(memory_budget), where, dtype)
            dtype = plan.dtype
        precision = choose_precision(dtype, where)
        key = (kind, identity, str(where), str(precision))
        model: M | None = _live.get(key)
        if model is None:
            model = _read(kind, name, folder, where, precision)
            if folder is not None:  # a backbone says so when it is asked to read
                warn_if_untrained(model, name)
            use_onednn(model.routed_layers().values())
            _live[key] = model
        model.keep_plan(plan)
        return model


def _identity(name: str, folder: Path | None) -> str:
    """What a model is live as. By content: files that were written anew are another model's."""
    if folder is not None:
        return f"{folder.resolve()}|{config_digest(folder)}"
    own = None if name in BACKBONES else local_folder(name)
    if own is None:
        return name  # pinned to its bytes
    return f"{own.resolve()}|{folder_digest(own)}"


# Kept, so that the setting of a model that is live already is known without a look at its files.
@lru_cache(maxsize=64)
def _plan(
    name: str, revision: str | None, identity: str, budget: int, device: torch.device, dtype: str
) -> MemoryPlan:
    """The setting of the model of that name and identity that fits a budget."""
    settings = [choose_precision(each, device) for each in _STEPS.get(dtype, (dtype,))]
    path, experts = _parts(name, revision)
    return choose_plan(path, settings, budget, experts=experts, device=device)


def memory_table(
    name: str | Path, *, revision: str | None = None, device: str = "auto"
) -> list[MemoryPlan]:
    """What a model takes with each setting that the device has; nothing is loaded.

    Args:
        name: as for `UniMoER.from_pretrained`.
        revision: likewise.
        device: likewise.
    """
    where = choose_device(device)
    path, experts = _parts(str(name), revision)
    return [
        plan_of(path, choose_precision(dtype, where), experts=experts, device=where)
        for dtype in ("float32", "bfloat16", *QUANTIZATIONS)
    ]


def _parts(name: str, revision: str | None) -> tuple[Path, int]:
    """Folder of a model's backbone, and bytes of what it has besides."""
    name, folder = locate_model(name, revision)
    if folder is None:
        # Its experts, new and silent, are small beside it.
        return resolve_backbone(name), 0
    config = read_config(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(f"{weights} is missing: copy or download the checkpoint again")
    return resolve_backbone(_backbone_name(config, folder)), weights.stat().st_size


def load_own(
    kind: type[M],
    name: str | Path,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> M:
    """As `load`, but an instance that nobody else holds."""
    where = choose_device(device)
    name, folder = locate_model(str(name), revision)
    return _read(kind, name, folder, where, choose_precision(dtype, where))


def _read(
    kind: type[M], name: str, folder: Path | None, device: torch.device, precision: Precision
) -> M:
    """A new instance: of the checkpoint in a folder, or of the backbone of that name."""
    if folder is None:
        return build(kind, name, device=str(device), dtype=str(precision))
    return _load(kind, name, folder, device, precision)


def _load(kind: type[M], name: str, folder: Path, device: torch.device, precision: Precision) -> M:
    """The model of a checkpoint folder, everything checked."""
    config = read_config(folder)
    path = resolve_backbone(_backbone_name(config, folder))
    published = _as_trained(config, path, folder)
    check_fit(config, folder, path, as_published=published is not None)
    tensors = read_tensors(folder, config)
    _check_digest(path, config, folder)
    backbone = load_backbone(
        path,
        dtype=precision.dtype,
        device=device,
        quantization=precision.quantization,
        published=published,
    )
    try:
        model = kind(backbone, name=config.base_model_name_or_path, spec=config.spec())
    except InputError as error:  # of the tokenizer, which was not looked at before
        raise CheckpointError(
            f"{folder / CONFIG} asks for what this version does not have ({error}): update "
            "unimoer-rag, or get the checkpoint again if it was edited"
        ) from error
    set_tensors(model, tensors, folder)
    model.pack()
    model.set_origin(name, config_digest(folder), folder)
    model.eval().set_unpadded("auto")
    return model


def _backbone_name(config: CheckpointConfig, folder: Path) -> str:
    """What to resolve: the backbone's name, with its revision where the name alone has none."""
    base, revision = config.base_model_name_or_path, config.base_model_revision
    spec = BACKBONES.get(base)
    if spec is not None:
        if revision not in (None, spec.revision):
            raise CheckpointError(
                f"{folder} belongs to {base!r} at revision {revision}; this version of "
                f"unimoer-rag pins {spec.revision}: use the version that made the checkpoint"
            )
        return base
    if revision and "@" not in base and local_folder(base) is None:
        return f"{base}@{revision}"
    return base


def _check_digest(path: Path, config: CheckpointConfig, folder: Path) -> None:
    """Raise unless the backbone in `path` has the weights the checkpoint was trained on."""
    expected = config.base_model_sha256
    spec = BACKBONES.get(config.base_model_name_or_path)
    if expected is None or (spec is not None and spec.sha256 == expected):
        return  # nothing to compare, or compared by `resolve_backbone`
    file = path / "model.safetensors"
    actual = file_digest(file) if file.is_file() else "no such file"
    if actual != expected:
        raise DigestMismatchError(
            f"{folder} was trained on a backbone whose model.safetensors has SHA-256 {expected}; "
            f"{file}: {actual}. Put the original backbone there"
        )


def _as_trained(config: CheckpointConfig, path: Path, folder: Path) -> Published | None:
    """How the backbone in `path` embedded when the checkpoint was trained; None for plainly.

    Raises:
        DigestMismatchError: it embeds otherwise now.
    """
    known, expected = BACKBONES.get(config.base_model_name_or_path), config.base_model_files_sha256
    if known is not None:
        return read_published(path) if known.published else None
    if expected is None:
        return None
    published = read_published(path)
    if published is None or published.digest != expected:
        raise DigestMismatchError(
            f"{folder} was trained on a backbone whose files have the digest {expected}; those in "
            f"{path} are others, so that it would embed otherwise. Put the original backbone there"
        )
    return published
