"""`--quick`: every benchmark in a minute or two, to see that it runs and what it prints."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

from unimoer_rag.cli.output import errors

__all__ = ["QUICK", "with_quick"]

QUICK: Mapping[str, Mapping[str, Any]] = {
    "encode": {"passages": 16, "rival": ["default"]},
    "rerank": {"queries": 2, "depth": 10, "rival": ["default"]},
    "overhead": {"passages": 12},
    "ingest": {"passages": 16},
    "query": {"passages": 200, "queries": 5, "depth": 10},
    "states": {"depth": 10, "limit": 20, "timed": 2},
    "precision": {"questions": 5, "passages": 100, "timed": 4},
    "concurrency": {"calls": 12, "clients": [1, 4]},
    "stress": {"seconds": 3.0, "warm_up": 2.0, "threads": 4, "coroutines": 4},
    "prefix": {"documents": 8, "tokens": 64, "layers": 2, "width": 128},
    "padding": {"passages": 24},
    "decoder": {
        "size": "tiny",
        "passages": 8,
        "tokens": 128,
        "queries": 1,
        "documents": 8,
        "document_tokens": 64,
    },
    "auto": {"depth": 10, "limit": 20},
    "vectors": {"passages": 500, "queries": 20},
    "kill": {"kills": 3, "flips": 1},
    "growth": {"sizes": [500, 1000, 2000], "dimension": 64, "queries": 5},
    "profile": {"passages": 24, "depth": 5, "repeats": 3},
}
"""Command -> its options where `--quick` is given and they are not; what measures no rate has
none."""

_QuickOption = Annotated[
    bool, typer.Option("--quick", help="So little that it takes a minute; nothing to compare by.")
]


def _given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


def with_quick(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option `--quick`; itself where `QUICK` has no sizes for it."""
    sizes = QUICK.get(command.__name__)
    if sizes is None:
        return command

    @wraps(command)
    def run(*, context: typer.Context, quick: bool, **options: Any) -> None:
        if quick:
            chosen = {name: size for name, size in sizes.items() if not _given(context, name)}
            errors.print(f"quick: {', '.join(f'{n} {v}' for n, v in chosen.items())}")
            options |= chosen
        command(**options)

    whole = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("context", keyword, annotation=typer.Context),
        inspect.Parameter("quick", keyword, annotation=_QuickOption, default=False),
    ]
    kept = [parameter.replace(kind=keyword) for parameter in whole.parameters.values()]
    parameters = [*kept, *added]
    run.__signature__ = whole.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
