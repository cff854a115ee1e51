"""Smaller backbones made from larger ones, where no other pretrained one is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unimoer_rag.errors import InputError
from unimoer_rag.model import load_backbone, resolve_backbone

__all__ = ["cut_backbone"]


def cut_backbone(name: str, layers: int, home: Path) -> Path:
    """The folder of a backbone without its upper transformer layers; made where it is not there.

    Nothing is trained: the states of a middle layer become the last ones.

    Args:
        name: as for `resolve_backbone`.
        layers: how many are kept, from the input on.
        home: where the folder is made.

    Raises:
        BackboneError: the backbone cannot be had.
        InputError: it has no more than so many layers.
    """
    source = resolve_backbone(name)
    folder = home / f"{Path(name).name}-{layers}-layers"
    if (folder / "model.safetensors").is_file():
        return folder
    whole = load_backbone(source, dtype=torch.float32, device=torch.device("cpu"))
    if layers >= len(whole.layers):
        raise InputError(
            f"cannot keep {layers} layers of {name!r}, which has {len(whole.layers)}: expected "
            "fewer than it has"
        )
    del whole.layers[layers:]
    model: Any = whole.model
    model.config.num_hidden_layers = layers
    model.save_pretrained(str(folder))
    whole.tokenizer.save_pretrained(str(folder))
    return folder
