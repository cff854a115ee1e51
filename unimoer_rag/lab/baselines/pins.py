"""Revisions of the baselines' published weights; what has none here is never downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.model import BACKBONES, file_digest, local_folder, resolve_backbone

__all__ = ["PINS", "find_weights", "identity_of_weights"]


PINS: Mapping[str, str] = {
    "Qwen/Qwen3-Embedding-0.6B": "97b0c614be4d77ee51c0cef4e5f07c00f9eb65b3",
    "Qwen/Qwen3-Reranker-0.6B": "e61197ed45024b0ed8a2d74b80b4d909f1255473",
    "Alibaba-NLP/E2Rank-0.6B": "7c82f7c8a74f14edcb5668ebe928d6865874afd5",
    "cross-encoder/ms-marco-MiniLM-L6-v2": "c5ee24cb16019beea0893ab7796b1df96625c6b8",
    "jinaai/jina-reranker-v3": "050e171c4f75dfec5b648ed8470a2475e5a30f30",
    "GritLM/GritLM-7B": "13f00a0e36500c80ce12870ea513846a066004af",
}
"""Repositories of the Hub by name, each with the commit that is used."""


def find_weights(name: str, revision: str | None = None) -> tuple[Path, str | None]:
    """The folder of a model's files and the commit they are pinned to.

    Args:
        name: a folder; a key of `PINS` or of `BACKBONES`; a Hub repository, with its commit in
            `revision` or behind an `@`.
        revision: the commit, 40 digits.

    Returns:
        The folder, downloaded only if it is not here yet, and the commit; None for a folder, which
        has none.

    Raises:
        BackboneError: there is no such folder, it holds no model, or the download failed.
        InputError: a repository without a revision, or a revision of what has none.
    """
    if local_folder(name) is not None or name in BACKBONES:
        if revision is not None:
            raise InputError(
                f"{name!r} is a folder or a known backbone and takes no revision ({revision}): "
                "leave the revision out"
            )
        return resolve_backbone(name), BACKBONES[name].revision if name in BACKBONES else None
    repo, _, behind = name.partition("@")
    chosen = revision or behind or PINS.get(repo, "")
    if not chosen and repo.count("/") == 1:
        raise InputError(
            f"no revision of {name!r} is known, and downloads are pinned: give "
            f"{name}@<40-digit commit>, the folder of a local copy, or one of {', '.join(PINS)}"
        )
    return resolve_backbone(f"{repo}@{chosen}" if chosen else repo), chosen or None


def identity_of_weights(folder: Path, commit: str | None) -> dict[str, Any]:
    """Which weights these are, JSON-ready: the commit, or the digest of every weights file."""
    if commit:
        return {"revision": commit}
    files = sorted(folder.rglob("*.safetensors"))
    return {"sha256": {str(file.relative_to(folder)): file_digest(file) for file in files}}
