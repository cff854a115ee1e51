"""Revisions of the baselines' published weights; what has none here is never downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.model.backbone import BACKBONES, resolve_backbone

__all__ = ["PINS", "Pin", "find_weights"]


@dataclass(frozen=True, slots=True)
class Pin:
    """One repository of the Hub at one commit.

    Attributes:
        revision: the commit.
        licence: of the weights.
        paper: that describes the model, on arXiv.
    """

    revision: str
    licence: str
    paper: str


PINS: Mapping[str, Pin] = {
    "Qwen/Qwen3-Embedding-0.6B": Pin(
        "97b0c614be4d77ee51c0cef4e5f07c00f9eb65b3", "Apache-2.0", "2506.05176"
    ),
    "Qwen/Qwen3-Reranker-0.6B": Pin(
        "e61197ed45024b0ed8a2d74b80b4d909f1255473", "Apache-2.0", "2506.05176"
    ),
    "Alibaba-NLP/E2Rank-0.6B": Pin(
        "7c82f7c8a74f14edcb5668ebe928d6865874afd5", "Apache-2.0", "2510.22733"
    ),
    "jinaai/jina-reranker-v3": Pin(
        "050e171c4f75dfec5b648ed8470a2475e5a30f30", "CC-BY-NC-4.0", "2509.25085"
    ),
    "GritLM/GritLM-7B": Pin("13f00a0e36500c80ce12870ea513846a066004af", "Apache-2.0", "2402.09906"),
}


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
    if Path(name).expanduser().is_dir() or name in BACKBONES:
        if revision is not None:
            raise InputError(
                f"{name!r} is a folder or a known backbone and takes no revision ({revision}): "
                "leave the revision out"
            )
        return resolve_backbone(name), BACKBONES[name].revision if name in BACKBONES else None
    repo, _, behind = name.partition("@")
    chosen = revision or behind or (PINS[repo].revision if repo in PINS else "")
    if not chosen and repo.count("/") == 1:
        raise InputError(
            f"no revision of {name!r} is known, and downloads are pinned: give "
            f"{name}@<40-digit commit>, the folder of a local copy, or one of {', '.join(PINS)}"
        )
    return resolve_backbone(f"{repo}@{chosen}" if chosen else repo), chosen or None
