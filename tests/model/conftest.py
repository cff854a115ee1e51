"""Tiny backbones on disk, written once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import make_model, save_backbone

from unimoer_rag.model.unimoer import UniMoER

BackbonePath = Callable[[str], Path]


@pytest.fixture(scope="session")
def backbone_path(tmp_path_factory: pytest.TempPathFactory) -> BackbonePath:
    """Folder of a tiny backbone, by architecture."""
    made: dict[str, Path] = {}

    def path(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_backbone(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return path


@pytest.fixture(scope="session")
def bert(backbone_path: BackbonePath) -> UniMoER:
    """A "trained" encoder with the default experts and tasks; not to be changed."""
    return make_model(backbone_path("bert"))


@pytest.fixture(scope="session")
def qwen(backbone_path: BackbonePath) -> UniMoER:
    """A "trained" decoder with the default experts and tasks; not to be changed."""
    return make_model(backbone_path("qwen3"))


@pytest.fixture(scope="session", params=["bert", "qwen"])
def model(request: pytest.FixtureRequest) -> UniMoER:
    """The encoder, then the decoder."""
    chosen: UniMoER = request.getfixturevalue(request.param)
    return chosen
