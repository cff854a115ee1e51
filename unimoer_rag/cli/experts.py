"""`unimoer-rag experts`: list a checkpoint's experts, add, remove, export, import, merge them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from unimoer_rag.cli.output import (
    INTERRUPTED,
    CheckpointOption,
    JsonFlag,
    console,
    errors,
    print_json,
    print_text,
    progress_bar,
    quiet,
)

__all__ = ["experts"]

experts = typer.Typer(
    name="experts",
    help="A checkpoint's experts: list, add, remove, export, import, merge.",
    no_args_is_help=True,
)

# Held-out examples below which one answer more or less moves a measure by a point or more.
_FEW = 100

OutputOption = Annotated[
    Path, typer.Option("--output", help="Folder of the new checkpoint; the old one stays.")
]


@experts.command("list")
def show(checkpoint: CheckpointOption = "unimoer-minilm", as_json: JsonFlag = False) -> None:
    """List the experts: size, place, and the tasks that name them."""
    quiet()
    from unimoer_rag.model import UniMoER, describe_experts

    model = UniMoER.from_pretrained(checkpoint)
    found = describe_experts(model)
    if as_json:
        print_json(found)
        return
    table = Table(title=f"experts of {model.checkpoint}")
    for column in ("expert", "rank", "alpha", "parameters", "tasks", "place"):
        table.add_column(column)
    for name, expert in found.items():
        place = [*expert["targets"], *(f"layer {at}" for at in expert["layers"])]
        table.add_row(
            name,
            str(expert["rank"]),
            f"{expert['alpha']:g}",
            f"{expert['parameters']:,}",
            ", ".join(expert["tasks"]) or "none",
            ", ".join(place) or "everywhere",
        )
    console.print(table)


@experts.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the new expert and its task.")],
    data: Annotated[
        Path, typer.Option("--data", help="JSONL to learn from; for reading a BEIR folder.")
    ],
    output: OutputOption,
    checkpoint: CheckpointOption = "unimoer-minilm",
    kind: Annotated[
        Literal["classification", "reading", "ranking"],
        typer.Option("--kind", help="What it learns: labels, answer spans, or relevance."),
    ] = "classification",
    rank: Annotated[int, typer.Option("--rank", min=1, help="Rank of the expert.")] = 8,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of training.")] = 500,
    size: Annotated[
        int | None, typer.Option("--size", min=1, help="Examples a step (by kind: 16, 8 or 4).")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="Peak learning rate.")] = 1e-3,
    dev_share: Annotated[
        float, typer.Option("--dev-share", help="Share of the data held out, to measure on.")
    ] = 0.1,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=16, help="Texts are cut to this length.")
    ] = 256,
    seed: Annotated[int, typer.Option("--seed", help="Of everything drawn at random.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Train a new expert and its head with all else frozen (extra train); run again to resume.

    Old tasks give bit for bit what they gave; that is checked before the checkpoint is written.
    """
    quiet()
    from unimoer_rag.training import Addition, extend

    addition = Addition(
        name,
        kind=kind,
        rank=rank,
        steps=steps,
        size=size,
        rate=rate,
        dev_share=dev_share,
        max_tokens=max_tokens,
        seed=seed,
    )
    with progress_bar() as bar:
        task = bar.add_task("training", total=steps)

        def step(report: dict[str, Any]) -> None:
            bar.update(task, completed=report["step"])
            if report["step"] % 50 == 0:
                losses = "  ".join(f"{n} {value:.3f}" for n, value in report["losses"].items())
                errors.print(f"step {report['step']}: {losses}")

        done = extend(addition, checkpoint=checkpoint, data=data, output=output, on_step=step)
    if as_json:
        print_json({**asdict(done), "checkpoint": str(output)})
    elif done.finished:
        print_text(f"{done.held_out} held-out examples: {_percent(done.measures)}")
        if done.held_out < _FEW:
            print_text(
                f"so few tell little (one more or less right is {100 / max(done.held_out, 1):.0f} "
                "points): give more data, or a larger --dev-share"
            )
        if done.baseline:
            print_text(f"{done.against}: {_percent(done.baseline)}")
        print_text(f"bit-identical to before: {', '.join(done.unchanged) or 'no task was there'}")
        print_text(f"done: the checkpoint is in {output}")
    if not done.finished:
        told = f"interrupted, saved in {output}: run the same command to go on"
        errors.print(Text(told), soft_wrap=True)
        raise typer.Exit(INTERRUPTED)


@experts.command()
def remove(
    name: Annotated[str, typer.Argument(help="The expert.")],
    output: OutputOption,
    checkpoint: CheckpointOption = "unimoer-minilm",
    tasks: Annotated[
        bool, typer.Option("--tasks", help="Remove the tasks that name it, too.")
    ] = False,
) -> None:
    """Write a checkpoint without an expert; the tasks that do not name it stay bit-identical."""
    quiet()
    from unimoer_rag.model import load_own

    model = load_own(checkpoint)
    named = [task.name for task in model.tasks.values() if name in task.experts]
    for task in named if tasks else []:
        model.remove_task(task)
    model.remove_expert(name)
    _save(model, output)


@experts.command()
def export(
    name: Annotated[str, typer.Argument(help="The expert.")],
    output: Annotated[Path, typer.Option("--output", help="Folder of the adapter.")],
    checkpoint: CheckpointOption = "unimoer-minilm",
    task: Annotated[
        str | None,
        typer.Option("--task", help="Fold in the weight the router gives it in this task."),
    ] = None,
) -> None:
    """Write an expert as a plain LoRA adapter of PEFT (extra peft)."""
    quiet()
    from unimoer_rag.model import UniMoER, export_expert

    export_expert(UniMoER.from_pretrained(checkpoint), name, _free(output), task=task)
    print_text(f"done: the adapter is in {output}")


@experts.command("import")
def take_in(
    name: Annotated[str, typer.Argument(help="Name of the new expert.")],
    adapter: Annotated[Path, typer.Option("--adapter", help="Folder of a plain LoRA adapter.")],
    output: OutputOption,
    checkpoint: CheckpointOption = "unimoer-minilm",
) -> None:
    """Read a plain LoRA adapter of PEFT into a new expert, which no task names yet."""
    quiet()
    from unimoer_rag.model import adapter_shape, import_expert, load_own

    model, shape = load_own(checkpoint), adapter_shape(adapter)
    model.add_expert(name, replace(shape.spec, targets=tuple(sorted(shape.targets))))
    import_expert(model, name, adapter)
    _save(model, output)


@experts.command()
def merge(
    names: Annotated[list[str], typer.Argument(help="The experts, two or more.")],
    into: Annotated[str, typer.Option("--into", help="Name of the merged expert.")],
    output: OutputOption,
    checkpoint: CheckpointOption = "unimoer-minilm",
    weights: Annotated[
        list[float] | None,
        typer.Option("--weight", help="Factor of each expert, in order (repeat it; 1 each)."),
    ] = None,
    method: Annotated[
        Literal["concat", "linear", "svd"],
        typer.Option("--method", help="Exact, sum of matrices, or nearest of --rank."),
    ] = "concat",
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, help="Rank of the merged expert (svd).")
    ] = None,
) -> None:
    """Make one expert of several; tasks that named one of them name the merged one."""
    quiet()
    from unimoer_rag.model import load_own, merge_experts

    model = load_own(checkpoint)
    error = merge_experts(model, names, into=into, weights=weights, method=method, rank=rank)
    _save(model, output)
    print_text(f"relative error of the weights: {error:.2g}")


def _save(model: Any, output: Path) -> None:
    model.save_pretrained(_free(output))
    print_text(f"done: the checkpoint is in {output}")


def _free(output: Path) -> Path:
    """The folder, unless a checkpoint is in it already."""
    from unimoer_rag.errors import CheckpointError
    from unimoer_rag.model import CONFIG

    if (output / CONFIG).exists():
        raise CheckpointError(f"{output} holds a checkpoint already: choose another folder")
    return output


def _percent(measures: Any) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in measures.items())
