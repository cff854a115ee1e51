"""A benchmark as a value, and the command that it makes: options, `--quick`, `--json`, its table.

A new one is a file of this folder that measures and ends with `BENCH = Bench(...)`, and its name
among those of `unimoer_rag.lab.commands.bench`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer

from unimoer_rag.cli import (
    check_target,
    console,
    counting,
    errors,
    print_text,
    progress_bar,
    quiet,
    save_json,
)
from unimoer_rag.lab.tables import Table

__all__ = ["Bench", "DeviceOption", "Facts", "PassagesOption", "RoundsOption", "command"]

Facts = Mapping[str, Any]
"""What a benchmark found: its JSON."""

RoundsOption = Annotated[int, typer.Option(help="Measured runs of each side, in turns; from 5.")]
PassagesOption = Annotated[int, typer.Option(help="Passages, of 8 to 250 tokens.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")]
_JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json", help="Write JSON to a file, - for standard output.", callback=check_target
    ),
]
_QuickOption = Annotated[
    bool, typer.Option("--quick", help="So little that it takes a minute; nothing to compare by.")
]


@dataclass(frozen=True, slots=True)
class Bench:
    """A benchmark.

    Attributes:
        measure: gives what was found. The command has an option for each of its parameters that is
            annotated with one of Typer; `on_run` is called as `alternate` does, `on_progress` as
            `cli.output.Show` says. Its docstring is the command's help, up to "Returns:".
        table: what was found, for people: on a terminal and in the documentation.
        quick: what options are with `--quick` where they are not given; what measures no rate has
            none.
        failed: whether what was found is a fault, for which the exit code is 1.
    """

    measure: Callable[..., dict[str, Any]]
    table: Callable[[Facts], Table]
    quick: Mapping[str, Any] = field(default_factory=dict)
    failed: Callable[[Facts], bool] = lambda found: False


def command(bench: Bench) -> Callable[..., None]:
    """The command of a benchmark, as Typer takes it."""
    measured = inspect.signature(bench.measure, eval_str=True)
    asked = measured.parameters

    def run(
        *, context: typer.Context, json: Path | None, quick: bool = False, **options: Any
    ) -> None:
        quiet()
        if quick:
            small = {name: size for name, size in bench.quick.items() if not _given(context, name)}
            errors.print(f"quick: {', '.join(f'{n} {v}' for n, v in small.items())}")
            options |= small
        if "on_run" in asked:
            options["on_run"] = _say_run
        # A bar is drawn ten times a second: not beside what is timed.
        with progress_bar() if "on_progress" in asked else nullcontext() as bar:
            if bar is not None:
                options["on_progress"] = counting(bar)
            found = bench.measure(**options)
        if json is None:
            table = bench.table(found)
            console.print(table.rich())
            for note in table.notes:
                print_text(note)
        else:
            save_json(found, json)
        if bench.failed(found):
            raise typer.Exit(1)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *(p.replace(kind=keyword) for p in asked.values() if get_origin(p.annotation) is Annotated),
        inspect.Parameter("json", keyword, annotation=_JsonOption, default=None),
        inspect.Parameter("context", keyword, annotation=typer.Context),
    ]
    if bench.quick:
        parameters.append(
            inspect.Parameter("quick", keyword, annotation=_QuickOption, default=False)
        )
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__doc__ = (inspect.getdoc(bench.measure) or "").partition("\n\nReturns:")[0]
    return run


def _given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


def _say_run(what: str, round_: int | None = None, /) -> None:
    """Progress: what runs now, on the error stream."""
    if round_ is None:
        errors.print(f"{what} ...")
    else:
        errors.print(f"{f'round {round_}' if round_ else 'warm-up'}: {what}")
