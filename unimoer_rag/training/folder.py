"""A run's folder: which recipe it belongs to, how far it is, what happened at each step.

| file | holds |
|---|---|
| `recipe.json` | the recipe, to refuse resuming with another |
| `log.jsonl` | one line a step: losses, learning rate, tokens, mean routing weights by task |
| `state.safetensors` | trainable tensors, optimizer moments, the step |
| `checkpoint/` | the model after the last step, loadable by `UniMoER.from_pretrained` |
| `mined/` | mined negatives, by content |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unimoer_rag.errors import TrainingError
from unimoer_rag.files import replacing, write_file
from unimoer_rag.training.recipe import Recipe

__all__ = ["RunFolder"]

Parameters = Mapping[str, torch.nn.Parameter]

# What AdamW keeps of a parameter. The count of updates is each parameter's own: one that got no
# gradient at a step (an expert of a task that sat it out) was not updated then.
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class RunFolder:
    """The folder of one recipe's run; made, or opened again to go on.

    Args:
        path: where it is.
        recipe: whose run it is.

    Raises:
        TrainingError: it holds a run of another recipe, or cannot be written.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        mark = path / "recipe.json"
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not mark.is_file():
                write_file(mark, recipe.model_dump_json(indent=2))
            elif _recipe_in(mark) != recipe:
                raise TrainingError(
                    f"{path} holds a run of another recipe: choose another output folder, or "
                    "delete it to start again"
                )
        except OSError as error:
            raise _unwritable(path, error) from error

    @property
    def checkpoint(self) -> Path:
        """Where the finished model goes."""
        return self.path / "checkpoint"

    @property
    def mined(self) -> Path:
        """Where mined negatives are kept."""
        return self.path / "mined"

    @property
    def begun(self) -> bool:
        """It holds a state to go on from."""
        return self._state.is_file()

    @property
    def _state(self) -> Path:
        return self.path / "state.safetensors"

    @property
    def _log(self) -> Path:
        return self.path / "log.jsonl"

    def log(self, report: Mapping[str, Any]) -> None:
        """Append one step's report to the log."""
        try:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(report) + "\n")
        except OSError as error:
            raise _unwritable(self._log, error) from error

    def save(self, named: Parameters, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Write the state of the run; complete or not at all.

        Raises:
            TrainingError: it cannot be written; the state before is kept.
        """
        tensors: dict[str, Tensor] = {}
        for name, parameter in named.items():
            tensors[f"parameter/{name}"] = parameter.detach().contiguous()
            state = optimizer.state.get(parameter, {})
            tensors |= {
                f"{key}/{name}": state[key].contiguous() for key in _MOMENTS if key in state
            }
        try:
            with replacing(self._state) as part:
                # The step travels inside the tensors' file: two files could disagree.
                save_file(tensors, str(part), metadata={"step": str(step)})
        except (OSError, SafetensorError) as error:
            raise _unwritable(self._state, error) from error

    def load(self, named: Parameters, optimizer: torch.optim.Optimizer) -> int:
        """Bring back the saved state, if there is one, and return its step.

        The log loses the lines of steps that will be done again.

        Raises:
            TrainingError: the state is damaged or of another model.
        """
        step, kept = self._read()
        if kept:
            missing = [name for name in named if f"parameter/{name}" not in kept]
            if missing:
                raise self._damaged(f"it lacks {missing[0]!r}")
            for name, parameter in named.items():
                _bring_back(name, parameter, kept, optimizer, step)
        self._trim_log(step)
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

    def _trim_log(self, step: int) -> None:
        if not self._log.is_file():
            return
        lines = self._log.read_text(encoding="utf-8").splitlines()
        write_file(self._log, "".join(f"{line}\n" for line in lines if _step_of(line) <= step))


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


def _unwritable(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"could not write {path} ({error}): free some space or choose another output folder; what "
        "was saved before is kept"
    )
