"""The trainer: mixed-task steps over experts, router and heads, the backbone frozen.

A run is a folder:

| file | holds |
|---|---|
| `recipe.json` | the recipe, to refuse resuming with another |
| `log.jsonl` | one line a step: losses, learning rate, tokens, mean routing weights by task |
| `state.safetensors` | trainable tensors, optimizer moments, the step |
| `checkpoint/` | the model so far, loadable by `UniMoER.from_pretrained` |
| `mined/` | mined negatives, by content |

Everything random is drawn from the seed and the step's number, so that a resumed run repeats what
an uninterrupted one would have done.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from unimoer_rag.errors import TrainingError
from unimoer_rag.model.batching import plan_batches
from unimoer_rag.model.checkpoint import parameters_by_name
from unimoer_rag.model.rows import Row
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.losses import load_balance
from unimoer_rag.training.objectives import Objective
from unimoer_rag.training.recipe import Optimizer, Recipe

__all__ = ["StepReport", "Trainer", "claim"]

StepReport = dict[str, Any]


class Trainer:
    """Trains one model by one recipe in one run folder.

    Args:
        model: its experts, router and heads are trained in place.
        recipe: what to do.
        folder: the run's folder; a run that is there already is resumed.

    Raises:
        TrainingError: the folder holds a run of another recipe, or a damaged one.
    """

    def __init__(self, model: UniMoER, recipe: Recipe, folder: Path) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self._named = parameters_by_name(model)
        self._optimizer = _make_optimizer(self._named, recipe.optimizer)
        self.step = 0
        claim(folder, recipe)
        self._resume()

    # -- the loop ---------------------------------------------------------------------------

    def run(
        self,
        objectives: Sequence[Objective],
        *,
        on_step: Callable[[StepReport], None] = lambda report: None,
        on_validate: Callable[[int], dict[str, float]] | None = None,
    ) -> bool:
        """Train to the recipe's last step, on the rows and losses that the objectives draw.

        SIGINT and SIGTERM end the run after the step in hand, saved.

        Returns:
            True when the last step was reached, False when interrupted.
        """
        last = self.recipe.optimizer.steps
        with _interruptible() as interrupted:
            while self.step < last and not interrupted():
                report = self.train_step(objectives)
                due = self.step % self.recipe.validate_every == 0 or self.step == last
                if on_validate is not None and due:
                    report["validation"] = on_validate(self.step)
                self._log(report)
                on_step(report)
                if self.step % self.recipe.save_every == 0:
                    self.save()
            self.save()
        self.model.save_pretrained(self.folder / "checkpoint")
        return self.step >= last

    def train_step(self, objectives: Sequence[Objective]) -> StepReport:
        """One step: draw, forward, losses, backward, update."""
        started = time.perf_counter()
        drawn = [objective.draw(self.step) for objective in objectives]
        draws = [draw for draw in drawn if draw is not None]
        rows = [row for draw in draws for row in draw.rows]
        anchored = [row for draw in draws if draw.anchored for row in draw.rows]
        outputs, balance, routing = self._forward(rows)
        frozen = self._frozen(anchored)

        parts: dict[str, Tensor] = {}
        at = at_frozen = 0
        for draw in draws:
            n = len(draw.rows)
            mine = frozen[at_frozen : at_frozen + n] if draw.anchored else []
            parts.update(draw.loss(outputs[at : at + n], mine))
            at, at_frozen = at + n, at_frozen + len(mine)
        parts["balance"] = self.recipe.balance * balance
        loss = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(loss):
            self.save()
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.step}: lower the learning rate in the "
                f"recipe; the run up to here is saved in {self.folder}"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        rate = _rate(self.step, self.recipe.optimizer)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        clip_grad_norm_(self._named.values(), self.recipe.optimizer.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return {
            "step": self.step,
            "loss": round(loss.item(), 5),
            "losses": {name: round(value.item(), 5) for name, value in parts.items()},
            "rate": round(rate, 5),
            "tokens": sum(len(row.ids) for row in rows),
            "seconds": round(time.perf_counter() - started, 3),
            "routing": routing,
        }

    def _forward(self, rows: Sequence[Row]) -> tuple[list[Any], Tensor, dict[str, Any]]:
        """Outputs in row order with gradient, the balance loss, mean routing weights by task."""
        outputs: dict[int, Any] = {}
        balances: list[Tensor] = []
        routing: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for at in plan_batches([len(row.ids) for row in rows], self.recipe.optimizer.token_budget):
            batch = self.model.collate([rows[i] for i in at])
            states = self.model(batch)
            outputs.update(zip(at, self.model.read_out(batch, states.hidden), strict=True))
            if states.experts:
                allowed = torch.tensor(
                    [[e in row.task.experts for e in states.experts] for row in batch.rows],
                    device=self.model.device,
                )
                balances.append(load_balance(states.weights, allowed) * len(at) / len(rows))
                _collect(routing, batch.rows, states.experts, states.weights)
        mean = {
            task: {expert: round(sum(v) / len(v), 4) for expert, v in experts.items()}
            for task, experts in routing.items()
        }
        balance = torch.stack(balances).sum() if balances else torch.zeros(())
        return [outputs[i] for i in range(len(rows))], balance, mean

    @torch.no_grad()
    def _frozen(self, rows: Sequence[Row]) -> list[Any]:
        """The same rows through the backbone alone."""
        if not rows:
            return []
        silent = [
            Row(r.task.with_strength(0.0), r.ids, r.first, r.second, r.offsets, r.truncated)
            for r in rows
        ]
        outputs: dict[int, Any] = {}
        budget = self.recipe.optimizer.token_budget
        for at in plan_batches([len(row.ids) for row in silent], budget):
            batch = self.model.collate([silent[i] for i in at])
            hidden = self.model(batch).hidden
            outputs.update(zip(at, self.model.read_out(batch, hidden), strict=True))
        return [outputs[i] for i in range(len(silent))]

    # -- the run's folder -------------------------------------------------------------------

    def _log(self, report: StepReport) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(report) + "\n")

    def save(self) -> None:
        """Write the state of the run; complete or not at all."""
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {}
        for name, parameter in self._named.items():
            tensors[f"parameter/{name}"] = parameter.detach().contiguous()
            state = self._optimizer.state.get(parameter, {})
            for key in ("exp_avg", "exp_avg_sq"):
                if key in state:
                    tensors[f"{key}/{name}"] = state[key].contiguous()
        part = self.folder / "state.part"
        # The step travels inside the tensors' file: two files could disagree after a crash.
        save_file(tensors, str(part), metadata={"step": str(self.step)})
        os.replace(part, self.folder / "state.safetensors")

    def _resume(self) -> None:
        from safetensors import safe_open

        path = self.folder / "state.safetensors"
        if not path.is_file():
            return
        try:
            with safe_open(str(path), framework="pt") as file:
                self.step = int(file.metadata()["step"])
                kept = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except Exception as error:  # safetensors raises its own kind and plain ones
            raise TrainingError(
                f"{path} is damaged ({error}): delete it to start the run again"
            ) from error
        with torch.no_grad():
            for name, parameter in self._named.items():
                parameter.copy_(kept[f"parameter/{name}"])
                if f"exp_avg/{name}" in kept:
                    self._optimizer.state[parameter] = {
                        "step": torch.tensor(float(self.step)),
                        "exp_avg": kept[f"exp_avg/{name}"].to(parameter.device),
                        "exp_avg_sq": kept[f"exp_avg_sq/{name}"].to(parameter.device),
                    }
        self._trim_log()

    def _trim_log(self) -> None:
        """Drop the lines of steps that will be done again."""
        path = self.folder / "log.jsonl"
        if not path.is_file():
            return
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and _step_of(line) <= self.step]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def claim(folder: Path, recipe: Recipe) -> None:
    """Mark a folder as the run of a recipe.

    Raises:
        TrainingError: it is the run of another one.
    """
    mark = folder / "recipe.json"
    ours = recipe.model_dump_json(indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    if not mark.is_file():
        mark.write_text(ours, encoding="utf-8")
    elif mark.read_text(encoding="utf-8") != ours:
        raise TrainingError(
            f"{folder} holds a run of another recipe: choose another output folder, or delete it "
            "to start again"
        )


def _step_of(line: str) -> int:
    return int(json.loads(line)["step"])


def _collect(
    routing: dict[str, dict[str, list[float]]],
    rows: Sequence[Row],
    experts: Sequence[str],
    weights: Sequence[Tensor],
) -> None:
    """Add each row's mean weight of each expert it may use, over layers and tokens."""
    mean = torch.stack([w.detach().mean(1) for w in weights]).mean(0)
    for row, values in zip(rows, mean.tolist(), strict=True):
        for expert, value in zip(experts, values, strict=True):
            if expert in row.task.experts:
                routing[row.task.name][expert].append(value)


def _rate(step: int, config: Optimizer) -> float:
    """Linear warm-up, then a cosine down to `final`."""
    warm = config.warmup * config.steps
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(config.steps - warm, 1)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * progress))


def _make_optimizer(
    named: dict[str, torch.nn.Parameter], config: Optimizer
) -> torch.optim.Optimizer:
    """AdamW with a peak rate for each expert, the up-projections' scaled (LoRA+, 2402.12354)."""
    groups: dict[float, list[torch.nn.Parameter]] = defaultdict(list)
    rates = config.learning_rate
    for name, parameter in named.items():
        kind, owner, *_ = name.split(".")
        rate = rates.get(owner if kind == "experts" else kind, rates["default"])
        if kind == "experts" and ".lora_B." in name:
            rate *= config.up_ratio
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups[rate].append(parameter)
    return torch.optim.AdamW(
        [{"params": members, "lr": rate, "peak": rate} for rate, members in groups.items()],
        weight_decay=config.weight_decay,
    )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a flag; a second one acts as usual."""
    asked: list[int] = []
    previous: dict[int, Any] = {}

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        signal.signal(number, previous[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, ask)
    except ValueError:  # not the main thread: signals are not ours to take
        pass
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
