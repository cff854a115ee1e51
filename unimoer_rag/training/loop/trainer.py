"""The trainer: mixed-task steps over experts, router and heads, the backbone frozen.

Everything random is drawn from the seed and the place of a draw among all draws, so that a resumed
run repeats what an uninterrupted one would have done, and several processes share the draws that
one alone would have accumulated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from unimoer_rag.errors import TrainingError
from unimoer_rag.model import Output, UniMoER, parameters_by_name
from unimoer_rag.training.loop import grad_cache
from unimoer_rag.training.loop.fit import check_fit
from unimoer_rag.training.loop.folder import RunFolder
from unimoer_rag.training.loop.forwards import Forwards, Pass, learning
from unimoer_rag.training.loop.gradients import Gradients
from unimoer_rag.training.loop.interrupts import interruptible
from unimoer_rag.training.loop.optimizer import make_optimizer, rate_at
from unimoer_rag.training.loop.processes import Processes
from unimoer_rag.training.loop.recomputation import recompute_layers
from unimoer_rag.training.loop.routing_record import RoutingRecord
from unimoer_rag.training.loop.schedules import Schedule
from unimoer_rag.training.loop.tracking import Track, Tracker
from unimoer_rag.training.objectives.objective import Draw, Objective, add
from unimoer_rag.training.recipe import Recipe

__all__ = ["StepReport", "Trainer"]

StepReport = dict[str, Any]


class Trainer:
    """Trains one model by one recipe in one run folder.

    Args:
        model: its experts, router and heads are trained in place.
        recipe: what to do.
        folder: the run's folder (see `RunFolder`); a run that is there already is resumed.
        schedules: what acts between a step's backward passes and its update.
        processes: those that train together; by default, the ones it was launched among.
        track: where every step's numbers are sent besides the folder, if anywhere.

    Raises:
        MissingExtraError: Accelerate or the tracker is not installed.
        TrainingError: the folder holds a run of another recipe, or a damaged one, or the recipe
            asks for what the model does not do.
    """

    def __init__(
        self,
        model: UniMoER,
        recipe: Recipe,
        folder: Path,
        *,
        schedules: Sequence[Schedule] = (),
        processes: Processes | None = None,
        track: Track | None = None,
    ) -> None:
        check_fit(model, recipe)
        self.model, self.recipe = model, recipe
        self._schedules = tuple(schedules)
        self._processes = processes or Processes()
        self._processes.place(model)
        if recipe.gradient_checkpointing:
            recompute_layers(model)
        self._named = parameters_by_name(model)
        self._processes.same(self._named.values())
        self._optimizer = make_optimizer(self._named, recipe.optimizer)
        self._trained = [p for p in self._named.values() if p.requires_grad]
        self._forwards = Forwards(
            model,
            recipe.routing,
            token_budget=recipe.optimizer.token_budget,
            processes=self._processes,
        )
        with self._processes.main_first():
            self.folder = RunFolder(folder, recipe, writes=self._processes.main)
            self.step = self.folder.load(self._named, self._optimizer)
        self._tracker: Tracker | None = None
        if track is not None and self._processes.main:
            self._tracker = Tracker(track, folder, recipe, step=self.step)

    # -- the loop ---------------------------------------------------------------------------

    def run(
        self,
        objectives: Sequence[Objective],
        *,
        on_step: Callable[[StepReport], None] = lambda report: None,
        on_validate: Callable[[int], dict[str, float]] | None = None,
    ) -> bool:
        """Train to the recipe's last step, on the rows and losses that the objectives draw.

        SIGINT and SIGTERM, in any process, end the run after the step in hand, saved.

        Args:
            objectives: what the tasks learn from.
            on_step: called with each step's report once it is logged, in the first process.
            on_validate: called every `validate_every` steps and after the last, in the first
                process; its measures go into that step's report. Not called where the backbone is
                sharded, which no process can run alone.

        Returns:
            True when the last step was reached, False when interrupted.

        Raises:
            TrainingError: the loss is no longer finite, or the folder cannot be written.
        """
        last = self.recipe.optimizer.steps
        with interruptible() as interrupted, self.folder.taken(), self._tracked():
            self.folder.trim_log(self.step)
            while self.step < last and not self._processes.any(interrupted()):
                report = self.train_step(objectives)
                self._validate(report, on_validate)
                if self._processes.main:
                    self.folder.log(report)
                    if self._tracker is not None:
                        self._tracker.log(report)
                    on_step(report)
                if self.step % self.recipe.save_every == 0:
                    self.save()
            self.save()
            if self._processes.main:
                self.model.save_pretrained(self.folder.checkpoint)
        self._processes.wait()
        return self.step >= last

    @contextmanager
    def _tracked(self) -> Iterator[None]:
        """Let the tracker send all it was told, however the block ends."""
        try:
            yield
        finally:
            if self._tracker is not None:
                self._tracker.close()

    def save(self) -> None:
        """Write the state of the run; complete or not at all, by the first process."""
        self.folder.save(self._named, self._optimizer, self.step)

    def _validate(
        self, report: StepReport, measure: Callable[[int], dict[str, float]] | None
    ) -> None:
        """Put the model's measures into the report where it is time for them."""
        due = self.step % self.recipe.validate_every == 0
        if measure is None or not (due or self.step == self.recipe.optimizer.steps):
            return
        if self._processes.main and not self._processes.sharded:
            report["validation"] = measure(self.step)
        self._processes.wait()

    # -- one step ---------------------------------------------------------------------------

    def train_step(self, objectives: Sequence[Objective]) -> StepReport:
        """One step: draws, forwards, losses and backwards of every micro-step; one update."""
        started = time.perf_counter()
        config, step = self.recipe.optimizer, self.step
        every = config.cosines_every
        compares = every > 0 and step % every == 0
        gradients = Gradients(self._named, apart=compares or config.conflicts != "sum")
        routing = RoutingRecord(self.model)
        parts: dict[str, Tensor] = {}
        tokens = 0
        with learning(self.model):
            for micro in range(config.accumulate):
                draws = self._draws(objectives, micro)
                tokens += sum(len(row.ids) for draw in draws for row in draw.rows)
                add(parts, self._backward(draws, gradients, routing))
        losses, tokens = self._together(parts, routing, tokens)
        rate = rate_at(step, config)
        report: StepReport = {
            "step": step + 1,
            "loss": round(sum(losses.values()), 5),
            "losses": {name: round(value, 5) for name, value in losses.items()},
            "rate": round(rate, 5),
            "tokens": tokens,
        }
        self._check_finite("loss", sum(losses.values()))
        gradients.mean(self._processes)
        if compares:
            report["cosines"], report["norms"] = gradients.similarity()
        gradients.settle(config.conflicts, seed=step)
        if tokens:  # else no objective had its turn
            report["norm"] = self._update(rate)
        self.step += 1
        report["routing"] = routing.by_task()
        report["seconds"] = round(time.perf_counter() - started, 3)
        return report

    def _draws(self, objectives: Sequence[Objective], micro: int) -> list[Draw]:
        """What the objectives whose turn it is draw, as a function of the micro-step's place."""
        return [
            objective.draw(self._slot(self.step // objective.every, micro))
            for objective in objectives
            if self.step % objective.every == 0
        ]

    def _slot(self, step: int, micro: int) -> int:
        """The place of a micro-step among those of all steps and processes."""
        at = step * self.recipe.optimizer.accumulate + micro
        return at * self._processes.world + self._processes.rank

    def _backward(
        self, draws: Sequence[Draw], gradients: Gradients, routing: RoutingRecord
    ) -> dict[str, Tensor]:
        """Add the gradients of one micro-step's draws, and give its losses by name."""
        config = self.recipe.optimizer
        rows = [row for draw in draws for row in draw.rows]
        plan = self._plan(draws)
        anchored = [row for draw in draws if draw.anchored for row in draw.rows]
        frozen = self._forwards.frozen(anchored)

        def run(batch: int) -> Pass:
            at = plan[batch]
            share = len(at) / len(rows) / config.accumulate
            done = self._forwards.learn([rows[i] for i in at], share=share)
            routing.add(done.batch, done.states)
            return done

        def judge(outputs: list[list[Output]]) -> dict[str, Tensor]:
            ordered: list[Any] = [None] * len(rows)
            for at, own in zip(plan, outputs, strict=True):
                for i, output in zip(at, own, strict=True):
                    ordered[i] = output
            return _judged(draws, ordered, frozen, 1 / config.accumulate)

        if not rows:
            return {}
        backward = grad_cache.cached if config.grad_cache else grad_cache.whole
        return backward(run, len(plan), judge, gradients)

    def _plan(self, draws: Sequence[Draw]) -> list[list[int]]:
        """Batches of row numbers: over all draws, or of one objective each.

        Where gradients are kept apart at every step, a batch of one objective needs one backward.
        """
        if self.recipe.optimizer.conflicts == "sum":
            return self._forwards.plan([row for draw in draws for row in draw.rows])
        plan: list[list[int]] = []
        first = 0
        for draw in draws:
            plan += [[first + i for i in at] for at in self._forwards.plan(draw.rows)]
            first += len(draw.rows)
        return plan

    def _together(
        self, parts: Mapping[str, Tensor], routing: RoutingRecord, tokens: int
    ) -> tuple[dict[str, float], int]:
        """Losses, routing and tokens of all processes, in one transfer."""
        names = sorted(parts)
        count = torch.tensor([float(tokens)], device=self.model.device)
        own = [*(parts[name].float().view(1) for name in names), count, routing.tensor]
        mean = self._processes.mean(torch.cat(own))
        routing.tensor = mean[len(names) + 1 :]
        values = dict(zip(names, mean[: len(names)].tolist(), strict=True))
        # In the order that the objectives came in.
        return {name: values[name] for name in parts}, round(
            mean[len(names)].item() * self._processes.world
        )

    def _update(self, rate: float) -> float:
        """Clip, and one step of the optimizer; the norm of the gradient before clipping."""
        # Before the update: it would spread what is not finite to every parameter, and then
        # there would be nothing good left to save.
        norm = get_total_norm([p.grad for p in self._trained if p.grad is not None])
        self._check_finite("gradient", norm.item())
        for schedule in self._schedules:
            schedule.after_backward(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        # Again: what a schedule withholds is not clipped, nor reported.
        norm = clip_grad_norm_(self._trained, self.recipe.optimizer.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return round(norm.item(), 5)

    def _check_finite(self, what: str, value: float) -> None:
        if abs(value) < float("inf"):  # NaN fails this too
            return
        self.save()
        raise TrainingError(
            f"the {what} is {value} at step {self.step}: lower the learning rate in the "
            f"recipe; the run up to here is saved in {self.folder.path}"
        )


def _judged(
    draws: Sequence[Draw], outputs: Sequence[Any], frozen: Sequence[Any], share: float
) -> dict[str, Tensor]:
    """Losses by name: each draw's, from its own rows' outputs."""
    found: dict[str, Tensor] = {}
    at = at_frozen = 0
    for draw in draws:
        n = len(draw.rows)
        still = list(frozen[at_frozen : at_frozen + n]) if draw.anchored else []
        for name, loss in draw.loss(list(outputs[at : at + n]), still).items():
            found[name] = share * loss
        at, at_frozen = at + n, at_frozen + len(still)
    return found
