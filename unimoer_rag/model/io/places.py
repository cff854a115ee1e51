"""Where a model is that is asked for by name: shipped, in a folder, or on the Hub."""

from __future__ import annotations

import re
from pathlib import Path

from unimoer_rag.errors import CheckpointError
from unimoer_rag.json_text import read_json
from unimoer_rag.model.io.checkpoint import CONFIG
from unimoer_rag.model.io.files import local_folder
from unimoer_rag.model.io.hub import download
from unimoer_rag.model.io.known import BACKBONES, canonical
from unimoer_rag.model.io.published import refuse_modules
from unimoer_rag.model.io.wrong_names import expected_name, pinned_commit

__all__ = ["backbone_of", "locate_model", "shipped_checkpoints"]

_SHIPPED = Path(__file__).parents[2] / "checkpoints"


def shipped_checkpoints() -> list[str]:
    """Names of the checkpoints inside the package."""
    return sorted(path.name for path in _SHIPPED.glob("*") if (path / CONFIG).is_file())


def locate_model(name: str, revision: str | None) -> tuple[str, Path | None]:
    """A model's name, and its checkpoint's folder; none where the name is a backbone's.

    Args:
        name: as for `UniMoER.from_pretrained`.
        revision: of a repository on the Hub. A backbone there has it in its name from then on.

    Raises:
        CheckpointError: there is nothing of that name, or it cannot be downloaded.
    """
    name = canonical(name)
    if not name:
        raise CheckpointError(
            "the name of the model is empty: give a checkpoint, a backbone or a folder (. for this)"
        )
    if name in shipped_checkpoints():
        return name, _SHIPPED / name
    if name in BACKBONES:
        _check_pin(name, revision)
        return name, None
    folder = local_folder(name)
    if folder is not None:
        if (folder / CONFIG).is_file():
            return name, folder
        if (folder / "config.json").is_file():
            return name, None
        refuse_modules(folder)
        raise CheckpointError(
            f"{folder} holds neither a checkpoint ({CONFIG}) nor a backbone (config.json): give "
            "the folder that save_pretrained wrote"
        )
    if name.startswith((".", "/", "~")):
        raise CheckpointError(f"there is no folder {name}: expected that of a model")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return (name, None) if "@" in name else _on_hub(name, revision)
    names = [*shipped_checkpoints(), *BACKBONES]
    raise CheckpointError(f"no checkpoint {name!r}: {expected_name(name, names)}")


def backbone_of(name: str) -> str | None:
    """The backbone that a checkpoint is on, as its configuration names it; None for a backbone.

    Args:
        name: as for `UniMoER.from_pretrained`.

    Raises:
        CheckpointError: there is nothing of that name, or its configuration is damaged.
    """
    _, folder = locate_model(name, None)
    if folder is None:
        return None
    config = read_json(folder / CONFIG, error=CheckpointError)
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return canonical(base) if isinstance(base, str) else None


def _check_pin(name: str, revision: str | None) -> None:
    """Refuse another commit of a backbone than the one that its name means."""
    spec = BACKBONES[name]
    if revision not in (None, spec.revision):
        raise CheckpointError(
            f"{name} is {spec.repo} at {spec.revision}, not at {revision}: leave the revision out, "
            f"or name {spec.repo}@{revision}"
        )


def _on_hub(repo: str, revision: str | None) -> tuple[str, Path | None]:
    """What a repository holds: a checkpoint, in its folder here, or a backbone."""
    if revision is None:
        raise CheckpointError(
            f"{repo!r} is no folder here, and as a Hub repository it needs its commit, as "
            f"{repo}@<40 digits> or revision=<commit>: downloads are pinned"
        )
    folder = _download(repo, revision, ["*.json"])
    if (folder / CONFIG).is_file():
        return repo, _download(repo, revision, ["*.json", "*.safetensors"])
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"the Hub repository {repo} has neither {CONFIG} nor config.json: it is no checkpoint "
            "and no backbone"
        )
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise CheckpointError(pinned_commit(repo, revision))
    return f"{repo}@{revision}", None


def _download(repo: str, revision: str, patterns: list[str]) -> Path:
    remedy = "check the network and the names, or pass the path of a local copy"
    return download(repo, revision, patterns, error=CheckpointError, remedy=remedy)
