"""Runs of several processes, as a launcher starts them; imported by each of the processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from training.toy import toy_objectives

from unimoer_rag.data.datasets import load_beir
from unimoer_rag.training.loop.processes import Processes
from unimoer_rag.training.loop.schedules import make_schedules
from unimoer_rag.training.loop.trainer import StepReport, Trainer
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_model, train

# One process imports all of this; those of a run are forked from it.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["training.process_runs", "accelerate", "torch.distributed.fsdp"])


def run_one(recipe: Recipe, toy: Path, folder: Path, slow: bool = False) -> None:
    """Train as a process of whatever launched it; note what it did in `seen-RANK`."""
    processes = Processes()
    seen = folder.parent / f"{folder.name}-seen-{processes.rank}"

    def note(text: str) -> None:
        with seen.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def on_step(report: StepReport) -> None:
        note(f"step {report['step']}")
        time.sleep(0.2 * slow)

    def on_validate(step: int) -> dict[str, float]:
        note(f"validate {step}")
        return {"measured": float(step)}

    model = make_model(recipe)
    with processes.main_first():
        objectives = toy_objectives(recipe, model, load_beir(toy, "train"), folder / "mined")
    schedules = make_schedules(model, recipe)
    trainer = Trainer(model, recipe, folder, schedules=schedules, processes=processes)
    note(f"{type(next(model.backbone.parameters())).__name__} from {trainer.step}")
    finished = trainer.run(objectives, on_step=on_step, on_validate=on_validate)
    note("finished" if finished else "stopped")
    processes.close()


def train_slowly(recipe: Recipe, data: Path, folder: Path, told: Connection) -> None:
    """Train, tell of each step and wait after the third; then tell how it ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the fork server ignores it

    def wait(report: StepReport) -> None:
        told.send(report["step"])
        time.sleep(2 * (report["step"] == 3))

    done = train(recipe, data=data, output=folder, on_step=wait)
    told.send("finished" if done else "stopped")


def start_slowly(recipe: Recipe, data: Path, folder: Path) -> tuple[ForkServerProcess, Connection]:
    """A process that trains slowly, and where it tells of it."""
    here, there = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=train_slowly, args=(recipe, data, folder, there), daemon=True)
    process.start()
    there.close()  # so that its end is seen
    return process, here


def _launched(rank: int, world: int, port: int, sharded: bool, *args: object) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the fork server ignores it
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    if sharded:
        os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    run_one(*args)  # type: ignore[arg-type]


def launch(
    recipe: Recipe,
    toy: Path,
    folder: Path,
    *,
    world: int = 2,
    sharded: bool = False,
    slow: bool = False,
) -> list[ForkServerProcess]:
    """Start the processes of a run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(world):
        args = (rank, world, port, sharded, recipe, toy, folder, slow)
        started.append(_CONTEXT.Process(target=_launched, args=args, daemon=True))
        started[-1].start()
    return started


def finish(processes: list[ForkServerProcess]) -> list[int | None]:
    """Wait for the processes of a run, and give their exit codes."""
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]
