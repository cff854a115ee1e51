"""`unimoer-rag experts`: list a checkpoint's experts, add, remove, export, import, merge them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import (
    INTERRUPTED,
    JsonFlag,
    console,
    print_found,
    print_json,
    print_note,
    print_text,
    progress_bar,
    quiet,
)
from unimoer_rag.cli.retrieval_options import CheckpointOption
from unimoer_rag.errors import InputError
from unimoer_rag.wording import counted

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
    title = f"experts of {model.checkpoint}"
    print_found(found, lambda: console.print(_table(found, title)), as_json=as_json)


def _table(found: dict[str, Any], title: str) -> Table:
    table = Table("expert", "rank", "alpha", "parameters", "tasks", "place", title=title)
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
    return table


@dataclass(frozen=True)
class Learning:
    """How a new expert is trained on --data."""

    kind: Literal["classification", "reading", "ranking"] = option(
        "What it learns: labels, answer spans, or relevance.", default="classification"
    )
    rank: int = option("Rank of the expert.", default=8, min=1)
    steps: int = option("Steps of training.", default=500, min=1)
    size: int | None = option("Examples a step (by kind: 16, 8 or 4).", min=1)
    rate: float = option("Peak learning rate.", default=1e-3)
    max_tokens: int = option("Texts are cut to this length.", default=256, min=16)


@dataclass(frozen=True)
class OwnDomain:
    """A domain's documents and questions, in the place of --data."""

    own: Path | None = option("Your documents: train a domain's embedding and reranking on them.")
    questions: Path | None = option("JSONL or CSV of questions on them, to learn and measure.")
    recipe: str = option("How a domain is trained.", default="minilm-domain")
    settings: list[str] | None = option("KEY=VALUE in place of the recipe's.", "--set")


@experts.command()
@with_options
def add(
    name: Annotated[str, typer.Argument(help="Name of the new expert and its task, or domain.")],
    *,
    data: Path | None = option("JSONL to learn from; for reading a BEIR folder."),
    domain: OwnDomain,
    output: OutputOption,
    checkpoint: CheckpointOption = "unimoer-minilm",
    learning: Learning,
    dev_share: float | None = option(
        "Share held out, to measure on (0.1 of the data, 0.2 of questions)."
    ),
    seed: int = option("Of everything drawn at random.", default=0),
    as_json: JsonFlag = False,
) -> None:
    """Train a new expert and its head with all else frozen (extra train); run again to resume.

    With --own, train the experts of a domain: the new checkpoint embeds and reranks by them.
    Other tasks give bit for bit what they gave; that is checked before anything is written.
    """
    quiet()
    if (data is None) == (domain.own is None):
        raise InputError("say what to learn from: --data FILE, or --own FOLDER; one of them")
    if domain.own is None:
        if domain.questions is not None:
            raise InputError("--questions are asked of your documents: give --own FOLDER too")
        share = 0.1 if dev_share is None else dev_share
        addition = {**vars(learning), "dev_share": share, "seed": seed}
        _add_task(name, addition, checkpoint, data, output, as_json=as_json)
        return
    from unimoer_rag.cli.add_domain import add_own

    add_own(
        name,
        **vars(domain),
        output=output,
        checkpoint=checkpoint,
        seed=seed,
        held_out=0.2 if dev_share is None else dev_share,
        as_json=as_json,
    )


def _add_task(
    name: str, given: dict[str, Any], checkpoint: str, data: Any, output: Path, *, as_json: bool
) -> None:
    """Train the expert of a task of its own, and tell how well it does."""
    from unimoer_rag.training import Addition, extend

    with progress_bar() as bar:
        task = bar.add_task("training", total=given["steps"])

        def step(report: dict[str, Any]) -> None:
            bar.update(task, completed=report["step"])
            if report["step"] % 50 == 0:
                losses = "  ".join(f"{n} {value:.3f}" for n, value in report["losses"].items())
                print_note(f"step {report['step']}: {losses}")

        addition = Addition(name, **given)
        done = extend(addition, checkpoint=checkpoint, data=data, output=output, on_step=step)
    if as_json:
        print_json({**asdict(done), "checkpoint": str(output)})
    elif done.finished:
        print_text(f"{counted(done.held_out, 'held-out example')}: {_percent(done.measures)}")
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
        print_note(f"interrupted, saved in {output}: run the same command to go on")
        raise typer.Exit(INTERRUPTED)


@experts.command()
@with_options
def remove(
    name: Annotated[str, typer.Argument(help="The expert.")],
    output: OutputOption,
    checkpoint: CheckpointOption = "unimoer-minilm",
    tasks: bool = option("Remove the tasks that name it, too.", default=False),
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
@with_options
def export(
    name: Annotated[str, typer.Argument(help="The expert.")],
    output: Path = option("Folder of the adapter.", default=...),
    checkpoint: CheckpointOption = "unimoer-minilm",
    task: str | None = option("Fold in the weight the router gives it in this task."),
) -> None:
    """Write an expert as a plain LoRA adapter of PEFT (extra peft)."""
    quiet()
    from unimoer_rag.model import UniMoER, export_expert

    export_expert(UniMoER.from_pretrained(checkpoint), name, _free(output), task=task)
    print_text(f"done: the adapter is in {output}")


@experts.command("import")
@with_options
def take_in(
    name: Annotated[str, typer.Argument(help="Name of the new expert.")],
    *,
    adapter: Path = option("Folder of a plain LoRA adapter.", default=...),
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
@with_options
def merge(
    names: Annotated[list[str], typer.Argument(help="The experts, two or more.")],
    *,
    into: str = option("Name of the merged expert.", default=...),
    output: OutputOption,
    checkpoint: CheckpointOption = "unimoer-minilm",
    weights: list[float] | None = option(
        "Factor of each expert, in order (repeat it; 1 each).", "--weight"
    ),
    method: Literal["concat", "linear", "svd"] = option(
        "Exact, sum of matrices, or nearest of --rank.", default="concat"
    ),
    rank: int | None = option("Rank of the merged expert (svd).", min=1),
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
