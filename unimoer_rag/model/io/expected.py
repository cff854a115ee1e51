"""What a checkpoint's files must hold, worked out without a number: on the meta device.

A configuration from elsewhere may ask for ranks or layers that its file does not have. That is
found out here, before the weights of file or backbone are read.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.checkpoint import CONFIG, WEIGHTS, parameters_by_name
from unimoer_rag.model.io.skeleton import bare_backbone
from unimoer_rag.model.io.tensors import Shape

if TYPE_CHECKING:
    from unimoer_rag.model.io.backbone import Backbone
    from unimoer_rag.model.io.config import CheckpointConfig

__all__ = ["check_fit"]

# Of a file beside its numbers.
_HEADER_BYTES = 16 * 2**20


def check_fit(
    config: CheckpointConfig, folder: Path, backbone: Path, *, as_published: bool = False
) -> None:
    """Raise unless a checkpoint's configuration fits its backbone, and its file may hold it.

    Args:
        config: of the checkpoint.
        folder: the checkpoint's.
        backbone: folder of the backbone; its `config.json` is read, no weight is.
        as_published: it embeds as its folder says.

    Raises:
        BackboneError: the backbone's configuration cannot be used.
        CheckpointError: the configuration asks for what the backbone or this version does not have,
            or the file is too large or too small for it.
    """
    bare = bare_backbone(backbone, as_published=as_published)
    n_bytes = sum(4 * prod(shape) for shape in _wanted(config, folder, bare).values())
    path = folder / WEIGHTS
    try:
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): copy or download the whole checkpoint again"
        ) from error
    # Float16 at the least, float64 at the most.
    if n_bytes // 2 > max(8 * size, _HEADER_BYTES) or size > 2 * n_bytes + _HEADER_BYTES:
        raise CheckpointError(
            f"{path} has {size:,} bytes, {CONFIG} describes {n_bytes // 4:,} numbers: one of them "
            "is of another checkpoint; copy or download both files again"
        )


def _wanted(config: CheckpointConfig, folder: Path, bare: Backbone) -> dict[str, Shape]:
    """The shape of each tensor that the checkpoint must have."""
    shape = (bare.width, len(bare.layers))
    if shape != (config.hidden_size, config.num_hidden_layers):
        raise CheckpointError(
            f"{folder} belongs to a backbone of {config.num_hidden_layers} layers of width "
            f"{config.hidden_size}; {bare.path} has {shape[1]} of {shape[0]}: give the backbone it "
            f"was trained on in {CONFIG} (base_model_name_or_path)"
        )
    try:
        with torch.device("meta"):
            model = RoutedModel(bare, name=config.base_model_name_or_path, spec=config.spec())
    except (InputError, RuntimeError, OverflowError, MemoryError) as error:
        raise CheckpointError(
            f"{folder / CONFIG} asks for what this version does not have ({error}): update "
            "unimoer-rag, or get the checkpoint again if it was edited"
        ) from error
    return {name: tuple(p.shape) for name, p in parameters_by_name(model).items()}
