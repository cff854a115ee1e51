"""Choose how much of each ranking task's experts a checkpoint keeps, and write it.

    python scripts/choose_strength.py --checkpoint runs/minilm/checkpoint --data DIR \
        --output OUT_CHECKPOINT --json OUT_JSON

Every development set under DIR (split `dev`) is shrunken alike for all strengths, so that the
sweep takes minutes. The strength with the best macro nDCG@10 wins, among those that put no set
below the frozen backbone.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli.output import errors, quiet
from unimoer_rag.evaluation.datasets import BeirDataset, Run, load_beir, load_run
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.strength import STRENGTHS, Candidate, choose, sweep
from unimoer_rag.training.validate import shrink


def main(
    checkpoint: Annotated[str, typer.Option(help="The trained checkpoint.")],
    data: Annotated[Path, typer.Option(help="Folder of the development sets.")],
    output: Annotated[Path, typer.Option(help="Where the checkpoint with its strengths goes.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where the sweep's numbers go.")],
    questions: Annotated[int, typer.Option(help="Questions of each set.")] = 200,
    sets: Annotated[
        str, typer.Option(help="Data sets, comma-separated.")
    ] = "nq,trec-dl-2021,hotpotqa,musique,triviaqa-distant",
    tasks: Annotated[str, typer.Option(help="Tasks to choose for.")] = "embed,rerank",
    strengths: Annotated[str, typer.Option(help="To try; 0 is the frozen backbone.")] = ",".join(
        map(str, STRENGTHS)
    ),
) -> None:
    """Sweep, choose, save."""
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    datasets = [_load(data / name, questions) for name in sets.split(",")]
    chosen = {}
    for task in tasks.split(","):

        def show(candidate: Candidate, task: str = task) -> None:
            errors.print(f"{task} {candidate.strength:g}: {candidate.macro:.4f} {candidate.scores}")

        candidates = sweep(
            model, datasets, task, tuple(map(float, strengths.split(","))), on_measured=show
        )
        best = choose(candidates)
        model.tasks[task] = model.task(task).with_strength(best.strength)
        chosen[task] = {
            "strength": best.strength,
            "measured": [asdict(c) | {"macro": c.macro} for c in candidates],
        }
        errors.print(f"{task}: {best.strength:g}")
    model.save_pretrained(output)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")


def _load(folder: Path, questions: int) -> tuple[BeirDataset, Run | None]:
    dataset = load_beir(folder, "dev")
    runs = sorted(folder.glob("run.*"))
    if runs:
        return dataset, load_run(runs[0])
    return shrink(dataset, questions), None


if __name__ == "__main__":
    typer.run(main)
