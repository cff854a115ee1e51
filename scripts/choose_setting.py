"""Choose a setting of a checkpoint's ranking tasks, and write it.

    python scripts/choose_setting.py strength --checkpoint runs/minilm/checkpoint --data DIR \
        --output OUT_CHECKPOINT --json OUT_JSON
    python scripts/choose_setting.py feedback --tasks rerank ...
    python scripts/choose_setting.py coverage --tasks rerank ...
    python scripts/choose_setting.py contrast --tasks rerank ...

Every development set under DIR (split `dev`) is shrunken alike for all values, so that the sweep
takes minutes. The value with the best macro nDCG@10 wins; for the strength of the experts, among
those that put no set below the frozen backbone.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli import errors, quiet, save_json
from unimoer_rag.data import BeirDataset, Run, load_beir, load_run
from unimoer_rag.model import UniMoER
from unimoer_rag.training.settings import VALUES, Setting, choose, sweep, with_setting
from unimoer_rag.training.validate import shrink


def main(
    setting: Annotated[str, typer.Argument(help="strength, feedback, coverage or contrast.")],
    checkpoint: Annotated[str, typer.Option(help="The trained checkpoint.")],
    data: Annotated[Path, typer.Option(help="Folder of the development sets.")],
    output: Annotated[Path, typer.Option(help="Where the checkpoint with its settings goes.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where the sweep's numbers go.")],
    questions: Annotated[int, typer.Option(help="Questions of each set.")] = 200,
    passages: Annotated[int, typer.Option(help="Passages beside those they need.")] = 500,
    sets: Annotated[
        str, typer.Option(help="Data sets, comma-separated.")
    ] = "nq,trec-dl-2021,hotpotqa,musique,triviaqa-distant",
    tasks: Annotated[str, typer.Option(help="Tasks to choose for.")] = "embed,rerank",
    values: Annotated[str, typer.Option(help="To try, comma-separated; 0 among them.")] = "",
) -> None:
    """Sweep, choose, save."""
    if setting not in VALUES:
        raise typer.BadParameter(f"expected one of {', '.join(VALUES)}", param_hint="setting")
    kind: Setting = setting  # type: ignore[assignment]
    tried = tuple(map(float, values.split(","))) if values else VALUES[kind]
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    datasets = [_load(data / name, questions, passages) for name in sets.split(",")]
    chosen = {}
    for task in tasks.split(","):

        def show(name: str, value: float, score: float, task: str = task) -> None:
            errors.print(f"{task} {kind} {value:g}, {name}: {score:.4f}")

        candidates = sweep(model, datasets, task, kind, tried, on_measured=show)
        best = choose(candidates, safe=kind == "strength")
        model.change_task(with_setting(model.task(task), kind, best.value))
        chosen[task] = {
            kind: best.value,
            "measured": [asdict(c) | {"macro": round(c.macro, 5)} for c in candidates],
        }
        errors.print(f"{task}: {kind} {best.value:g}, macro {best.macro:.4f}")
    model.save_pretrained(output)
    save_json(chosen, json_path)


def _load(folder: Path, questions: int, passages: int) -> tuple[BeirDataset, Run | None]:
    dataset = load_beir(folder, "dev")
    runs = sorted(folder.glob("run.*"))
    if runs:
        return dataset, load_run(runs[0])
    return shrink(dataset, questions, passages), None


if __name__ == "__main__":
    typer.run(main)
