"""Runs followed from outside: step reports sent to TensorBoard or Weights & Biases."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from unimoer_rag.extras import needs_extra
from unimoer_rag.files import write_file
from unimoer_rag.training.recipe import Recipe

__all__ = ["Track", "Tracker", "flatten"]

Track = Literal["tensorboard", "wandb"]


class Tracker:
    """Sends each step's numbers to a tracker of Accelerate's.

    Made in the first process of a run, after its `Processes`.

    Args:
        kind: which.
        folder: the run's; TensorBoard's files go to `tensorboard/` in it, an offline wandb run to
            `wandb/`.
        recipe: its name and settings go with the run.
        step: where the run goes on; what TensorBoard holds of later steps is dropped.

    Raises:
        MissingExtraError: the tracker is not installed.
    """

    def __init__(self, kind: Track, folder: Path, recipe: Recipe, *, step: int = 0) -> None:
        with needs_extra("accelerate", "train", "training"):
            from accelerate.tracking import TensorBoardTracker, WandBTracker
        with needs_extra(kind, "track", f"tracking by {kind}"):
            import_module(kind)
        self._tracker: Any
        if kind == "tensorboard":
            self._tracker = TensorBoardTracker("tensorboard", folder, purge_step=step + 1)
        else:
            self._tracker = WandBTracker(
                "unimoer-rag",
                name=recipe.name,
                dir=str(folder),
                id=_wandb_id(folder / "wandb.json"),
                resume="allow",
            )
        self._tracker.start()
        if kind == "wandb":
            self._tracker.store_init_configuration(recipe.model_dump(mode="json"))

    def log(self, report: Mapping[str, Any]) -> None:
        """Send the numbers of one step's report."""
        values = flatten(report)
        step = int(values.pop("step"))
        self._tracker.log(values, step=step)

    def close(self) -> None:
        """Send what is left."""
        self._tracker.finish()


def _wandb_id(path: Path) -> str:
    """The run's name at wandb, kept in its folder: a resumed run goes on under the same."""
    if not path.is_file():
        write_file(path, json.dumps({"id": secrets.token_hex(4)}))
    return str(json.loads(path.read_text(encoding="utf-8"))["id"])


def flatten(report: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of nested mappings, by their keys joined with slashes."""
    found: dict[str, float] = {}
    for key, value in report.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}/")
        else:
            found[f"{prefix}{key}"] = value
    return found
