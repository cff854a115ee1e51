"""One run of a study: trained once, whichever studies want it, and measured once.

A run's folder is named by what it was made from: the recipe without its name, and the bytes of its
data. Two studies that train the same thing share it, and a run that is finished is never repeated.

| file | holds |
|---|---|
| `train/` | the training run (see `RunFolder`), its checkpoint among it |
| `done.json` | seconds of training and parameters, once it is finished |
| `values-KEY.json` | each question's value, by how it was measured |
| `NAME-KEY.json` | what the analysis NAME found |
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from unimoer_rag.data import BeirDataset, load_beir
from unimoer_rag.errors import DataError
from unimoer_rag.files import write_file
from unimoer_rag.lab.studies.held_out import parted
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress
from unimoer_rag.training import Recipe, make_model, train

__all__ = ["Done", "StudyRun", "Watch", "digest_of_data", "expert_parameters", "kept"]

T = TypeVar("T")

_STEM = 12  # characters of a digest that name a folder


class Done(BaseModel):
    """What is known of a finished run.

    Attributes:
        seconds: of training, mining among them where this run did it; of its last session.
        cpu_seconds: what its process computed in them; None of older runs.
        parameters: of all experts together, of the router and of the heads.
    """

    seconds: float
    cpu_seconds: float | None = None
    parameters: dict[str, int]


@dataclass(frozen=True)
class StudyRun:
    """One variant at one seed.

    Attributes:
        recipe: the whole of it.
        trained: False for the model before its first step.
        data: folder of the data sets.
        data_digest: of the training data's bytes.
        home: where the folders of all runs are.
        held_out: data sets of which it is not trained on a tenth of the questions.
        watch: measures it while it is trained (`Watch`); changes nothing of it.
    """

    recipe: Recipe
    trained: bool
    data: Path
    data_digest: str
    home: Path
    held_out: tuple[str, ...] = ()
    watch: Watch | None = None

    @property
    def digest(self) -> str:
        """What it is made from. How often it is saved or validated changes nothing.

        Of the recipe it is what was said, without defaults: records stay true to their runs where
        a later version's recipes have more keys.
        """
        told = {"name", "description", "save_every", "validate_every", "validation_questions"}
        made = self.recipe.model_dump_json(exclude=told, exclude_unset=True)
        parts = (made, str(self.trained), self.data_digest, *self.held_out)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:_STEM]

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.home / self.digest

    @property
    def checkpoint(self) -> Path:
        """The trained model."""
        return self.folder / "train" / "checkpoint"

    @property
    def mined(self) -> Path:
        """Where mined negatives are kept, for all runs."""
        return self.home / "mined"

    @property
    def log(self) -> list[dict[str, Any]]:
        """A report for each step; empty where nothing was trained."""
        path = self.folder / "train" / "log.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def finish(self, *, on_progress: Progress) -> Done:
        """Train it, or go on where it was interrupted; at once where it is finished.

        Raises:
            KeyboardInterrupt: it was interrupted, and saved.
            DataError, TrainingError: see `train`.
        """
        return self.kept("done", Done, lambda: self._train(on_progress))

    def _train(self, on_progress: Progress) -> Done:
        began, computed = time.perf_counter(), time.process_time()
        if self.trained:
            steps = self.recipe.optimizer.steps
            finished = train(
                self.recipe,
                data=self.data,
                output=self.folder / "train",
                sets=self.sets(),
                cache=self.mined,
                on_progress=on_progress,
                on_step=lambda report: on_progress("training", report["step"], steps),
                validate=None if self.watch is None else self._validate,
            )
            if not finished:
                raise KeyboardInterrupt
        return Done(
            seconds=round(time.perf_counter() - began, 1),
            cpu_seconds=round(time.process_time() - computed, 1),
            parameters=_parameters(self.model()),
        )

    def sets(self) -> Mapping[str, BeirDataset]:
        """The data sets with a part held out."""
        names = [name for name in self.held_out if name in self.recipe.sources]
        return {name: parted(load_beir(self.data / name, "train")).train for name in names}

    def _validate(self, model: UniMoER) -> dict[str, float]:
        """What is measured before a step's line is logged."""
        assert self.watch is not None
        return self.watch(self, model, len(self.log) + 1)

    def model(self) -> UniMoER:
        """The trained model, as its checkpoint keeps it."""
        if not self.trained:
            return make_model(self.recipe)
        return UniMoER.from_pretrained(self.checkpoint, dtype=self.recipe.dtype)

    def kept(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        """A result from the run's folder, made and written there where it is not.

        Args:
            name: of its file.
            kind: what it is, for Pydantic.
            make: makes it.
        """
        return kept(self.folder / f"{name}.json", kind, make)


class Watch(Protocol):
    """Measures a run in training, every `validate_every` steps."""

    def __call__(self, run: StudyRun, model: UniMoER, step: int) -> dict[str, float]:
        """What goes into the step's line of the log; the model is left as it is."""


def kept(path: Path, kind: type[T], make: Callable[[], T]) -> T:
    """A value from its JSON file; made and written there where it is not.

    Args:
        path: the file.
        kind: what it holds, for Pydantic.
        make: makes it.
    """
    adapter = TypeAdapter(kind)
    with suppress(FileNotFoundError, ValidationError):  # what another version wrote is made anew
        return adapter.validate_json(path.read_bytes())
    result = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, adapter.dump_json(result))
    return result


def expert_parameters(model: UniMoER) -> int:
    """How many numbers all experts together are."""
    layers = model.routed_layers().values()
    return sum(p.numel() for m in layers for side in (m.lora_A, m.lora_B) for p in side.values())


def _parameters(model: UniMoER) -> dict[str, int]:
    """How many numbers are trained: of experts, router and heads."""
    return {
        "experts": expert_parameters(model),
        "router": sum(p.numel() for p in model.router.parameters()),
        "heads": sum(p.numel() for p in model.heads.parameters()),
    }


def digest_of_data(folder: Path, names: tuple[str, ...]) -> str:
    """SHA-256 over the files of some data sets, in order.

    Raises:
        DataError: one of them is not there.
    """
    whole = hashlib.sha256()
    for name in names:
        files = sorted(p for p in (folder / name).rglob("*") if p.is_file())
        if not files:
            raise DataError(
                f"no data set {name!r} in {folder}: expected a folder in the BEIR layout there"
            )
        for file in files:
            whole.update(f"{file.relative_to(folder)}\x1f{file.stat().st_size}\x1f".encode())
            whole.update(file.read_bytes())
    return whole.hexdigest()
