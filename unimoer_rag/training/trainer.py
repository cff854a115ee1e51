"""The trainer: mixed-task steps over experts, router and heads, the backbone frozen.

Everything random is drawn from the seed and the step's number, so that a resumed run repeats what
an uninterrupted one would have done.
"""

from __future__ import annotations

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
from unimoer_rag.training.folder import RunFolder
from unimoer_rag.training.losses import load_balance
from unimoer_rag.training.objectives import Objective
from unimoer_rag.training.optimizer import make_optimizer, rate_at
from unimoer_rag.training.recipe import Recipe

__all__ = ["StepReport", "Trainer"]

StepReport = dict[str, Any]


class Trainer:
    """Trains one model by one recipe in one run folder.

    Args:
        model: its experts, router and heads are trained in place.
        recipe: what to do.
        folder: the run's folder (see `RunFolder`); a run that is there already is resumed.

    Raises:
        TrainingError: the folder holds a run of another recipe, or a damaged one.
    """

    def __init__(self, model: UniMoER, recipe: Recipe, folder: Path) -> None:
        self.model, self.recipe = model, recipe
        self.folder = RunFolder(folder, recipe)
        self._named = parameters_by_name(model)
        self._optimizer = make_optimizer(self._named, recipe.optimizer)
        self.step = self.folder.load(self._named, self._optimizer)

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

        Args:
            objectives: what the tasks learn from.
            on_step: called with each step's report, once it is logged.
            on_validate: called every `validate_every` steps and after the last; its measures go
                into that step's report.

        Returns:
            True when the last step was reached, False when interrupted.

        Raises:
            TrainingError: the loss is no longer finite, or the folder cannot be written.
        """
        last = self.recipe.optimizer.steps
        with _interruptible() as interrupted:
            while self.step < last and not interrupted():
                report = self.train_step(objectives)
                due = self.step % self.recipe.validate_every == 0 or self.step == last
                if on_validate is not None and due:
                    report["validation"] = on_validate(self.step)
                self.folder.log(report)
                on_step(report)
                if self.step % self.recipe.save_every == 0:
                    self.save()
            self.save()
        self.model.save_pretrained(self.folder.checkpoint)
        return self.step >= last

    def save(self) -> None:
        """Write the state of the run; complete or not at all."""
        self.folder.save(self._named, self._optimizer, self.step)

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
        self._check_finite("loss", loss)
        rate = rate_at(self.step, self.recipe.optimizer)
        if rows:  # else every objective sat this step out
            self._update(loss, rate)
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

    def _update(self, loss: Tensor, rate: float) -> None:
        """Backward, clip, and one step of the optimizer."""
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        norm = clip_grad_norm_(self._named.values(), self.recipe.optimizer.clip)
        # Before the update: it would spread what is not finite to every parameter, and then
        # there would be nothing good left to save.
        self._check_finite("gradient", norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def _check_finite(self, what: str, value: Tensor) -> None:
        if torch.isfinite(value):
            return
        self.save()
        raise TrainingError(
            f"the {what} is {value.item()} at step {self.step}: lower the learning rate in the "
            f"recipe; the run up to here is saved in {self.folder.path}"
        )

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
        silent = torch.zeros((), device=self.model.device)
        balance = torch.stack(balances).sum() if balances else silent
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


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a flag; a second one acts as usual."""
    asked: list[int] = []
    previous: dict[int, Any] = {}

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        signal.signal(number, previous[number])

    try:
        for wanted in (signal.SIGINT, signal.SIGTERM):
            previous[wanted] = signal.signal(wanted, ask)
    except ValueError:  # not the main thread: signals are not ours to take
        pass
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
