"""A run's folder: which recipe it belongs to, how far it is, what happened at each step.

| file | holds |
|---|---|
| `recipe.json` | the recipe, to refuse resuming with another |
| `log.jsonl` | one line a step: losses, learning rate, tokens, mean routing weights by task |
| `state.safetensors` | trainable tensors, optimizer moments, the step |
| `checkpoint/` | the model after the last step, loadable by `UniMoER.from_pretrained` |
| `mined/` | mined negatives, by content |
| `tensorboard/`, `wandb/`, `wandb.json` | what a tracker keeps, where one was asked for |

All of it is JSON and safetensors: nothing in it is code, as a pickled checkpoint would be. In a run
of several processes the first one alone writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unimoer_rag.errors import TrainingError
from unimoer_rag.files import replacing, write_file
from unimoer_rag.training.recipe import Recipe

__all__ = ["RunFolder", "RunSummary", "kept_recipe", "summary"]

RECIPE, LOG, CHECKPOINT, LOCK = "recipe.json", "log.jsonl", "checkpoint", ".lock"

Parameters = Mapping[str, torch.nn.Parameter]

# What AdamW keeps of a parameter. The count of updates is each parameter's own: one that got no
# gradient at a step (an expert of a task that sat it out) was not updated then.
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class RunFolder:
    """The folder of one recipe's run; made, or opened again to go on.

    Args:
        path: where it is.
        recipe: whose run it is.
        writes: this process is the one that writes; the others only read.

    Raises:
        TrainingError: it holds a run of another recipe, or cannot be written.
    """

    def __init__(self, path: Path, recipe: Recipe, *, writes: bool = True) -> None:
        self.path, self._writes = path, writes
        mark = path / RECIPE
        with _writing(path):
            if writes:
                path.mkdir(parents=True, exist_ok=True)
            if writes and not mark.is_file():
                write_file(mark, recipe.model_dump_json(indent=2))
            elif _recipe_in(mark) != recipe:
                raise TrainingError(
                    f"{path} holds a run of another recipe: choose another output folder, or "
                    "delete it to start again"
                )

    @property
    def checkpoint(self) -> Path:
        """Where the finished model goes."""
        return self.path / CHECKPOINT

    @property
    def mined(self) -> Path:
        """Where mined negatives are kept."""
        return self.path / "mined"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep the folder for this run inside the block.

        Raises:
            TrainingError: another run has it.
        """
        if not self._writes:
            yield
            return
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            with _writing(self.path / LOCK):
                lock.acquire()
        except Timeout as error:
            raise TrainingError(
                f"another process is training in {self.path}: wait for it, stop it, or choose "
                "another output folder"
            ) from error
        try:
            yield
        finally:
            lock.release()

    @property
    def begun(self) -> bool:
        """It holds a state to go on from."""
        return self._state.is_file()

    @property
    def _state(self) -> Path:
        return self.path / "state.safetensors"

    @property
    def _log(self) -> Path:
        return self.path / LOG

    def log(self, report: Mapping[str, Any]) -> None:
        """Append one step's report to the log."""
        with _writing(self._log), self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(report) + "\n")

    def save(self, named: Parameters, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Write the state of the run; complete or not at all.

        Raises:
            TrainingError: it cannot be written; the state before is kept.
        """
        if not self._writes:
            return
        tensors: dict[str, Tensor] = {}
        for name, parameter in named.items():
            tensors[f"parameter/{name}"] = parameter.detach().contiguous()
            state = optimizer.state.get(parameter, {})
            tensors |= {
                f"{key}/{name}": state[key].contiguous() for key in _MOMENTS if key in state
            }
        with _writing(self._state), replacing(self._state) as part:
            # The step travels inside the tensors' file: two files could disagree.
            save_file(tensors, str(part), metadata={"step": str(step)})

    def load(self, named: Parameters, optimizer: torch.optim.Optimizer) -> int:
        """Bring back the saved state, if there is one, and return its step.

        Raises:
            TrainingError: the state is damaged or of another model.
        """
        step, kept = self._read()
        if kept:
            for name, parameter in named.items():
                tensor = kept.get(f"parameter/{name}")
                if tensor is None:
                    raise self._damaged(f"it lacks {name!r}")
                if tensor.shape != parameter.shape:  # copying could broadcast it
                    raise self._damaged(
                        f"{name!r} has the shape {tuple(tensor.shape)} in it, the model "
                        f"{tuple(parameter.shape)}"
                    )
            for name, parameter in named.items():
                _bring_back(name, parameter, kept, optimizer, step)
        return step

    def _read(self) -> tuple[int, dict[str, Tensor]]:
        if not self._state.is_file():
            return 0, {}
        try:
            with safe_open(str(self._state), framework="pt") as file:
                step = int(file.metadata()["step"])
                return step, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> TrainingError:
        return TrainingError(f"{self._state} is damaged ({why}): delete it to start the run again")

    def trim_log(self, step: int) -> None:
        """Take the lines of steps that will be done again out of the log.

        For the run that has the folder (`taken`): another's lines would be lost.

        Raises:
            TrainingError: it cannot be written.
        """
        if not self._writes or not self._log.is_file():
            return
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = "".join(f"{line}\n" for line in lines if _step_of(line) <= step)
        with _writing(self._log):
            write_file(self._log, kept)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run stands.

    Attributes:
        name: of its recipe.
        step: steps done and logged.
        steps: of the recipe.
        losses: by name, of the last step; empty before the first.
        validation: the last measures, by name; empty where none were taken.
        state: "finished"; "running" while a process trains in the folder; else "interrupted".
    """

    name: str
    step: int
    steps: int
    losses: Mapping[str, float]
    validation: Mapping[str, float]
    state: Literal["finished", "running", "interrupted"]


def kept_recipe(path: Path) -> Recipe:
    """The recipe of a run's folder.

    Raises:
        TrainingError: the folder holds no run of this version's recipes.
    """
    recipe = _recipe_in(path / RECIPE) if (path / RECIPE).is_file() else None
    if recipe is None:
        raise TrainingError(
            f"{path} holds no run: expected a folder with a {RECIPE} of this version, as "
            "unimoer-rag train writes it"
        )
    return recipe


def summary(path: Path) -> RunSummary:
    """How the run in a folder stands; nothing in the folder is changed.

    Raises:
        TrainingError: the folder holds no run of this version's recipes.
    """
    recipe = kept_recipe(path)
    reports = _reports(path / LOG)
    last = reports[-1] if reports else {}
    measured: dict[str, float] = next(
        (r["validation"] for r in reversed(reports) if "validation" in r), {}
    )
    step, steps = int(last.get("step", 0)), recipe.optimizer.steps
    state: Literal["finished", "running", "interrupted"] = "interrupted"
    if _held(path / LOCK):
        state = "running"
    elif step >= steps and (path / CHECKPOINT).is_dir():
        state = "finished"
    return RunSummary(recipe.name, step, steps, last.get("losses", {}), measured, state)


def _held(lock: Path) -> bool:
    """Some process has the lock."""
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _reports(log: Path) -> list[dict[str, Any]]:
    """The log's whole lines."""
    if not log.is_file():
        return []
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines if _step_of(line) < float("inf")]


def _bring_back(
    name: str,
    parameter: torch.nn.Parameter,
    kept: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    with torch.no_grad():
        parameter.copy_(kept[f"parameter/{name}"])
    if f"exp_avg/{name}" in kept:
        optimizer.state[parameter] = {
            # States written before each parameter's own count was kept have none.
            "step": kept.get(f"step/{name}", torch.tensor(float(step))),
            "exp_avg": kept[f"exp_avg/{name}"].to(parameter.device),
            "exp_avg_sq": kept[f"exp_avg_sq/{name}"].to(parameter.device),
        }


def _recipe_in(mark: Path) -> Recipe | None:
    """The recipe of a folder; None where the file is of another version, or no recipe at all."""
    try:
        return Recipe.model_validate_json(mark.read_bytes())
    except ValidationError:
        return None


def _step_of(line: str) -> float:
    """The step of a line of the log; a line cut off by a crash belongs to none."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say of what goes wrong inside the block what was to be written."""
    try:
        yield
    except Timeout:  # an OSError too: somebody else has the lock
        raise
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"could not write {path} ({error}): free some space or choose another output folder; "
            "what was saved before is kept"
        ) from error
