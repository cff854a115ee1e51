#!/usr/bin/env python3
"""Write docs/cli.md from the commands themselves: python scripts/generate_cli_docs.py."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from typer import Context
from typer.models import ArgumentInfo, OptionInfo

from unimoer_rag.cli.main import app
from unimoer_rag.lab.bench.bench import command
from unimoer_rag.lab.commands.bench import NAMES, bench, open_bench

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"

_VALUES = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}

HEADER = """\
# Command line

<!-- Written by scripts/generate_cli_docs.py from the commands: edit their help, not this page. -->

Results go to standard output, progress and errors to standard error. Progress is a bar on a
terminal, and a line every ten seconds in a pipe or a log. Exit codes: 0 done; 1 an error, told in
one line; 2 a wrong option; 3 done, but some documents could not be read; 130 interrupted (`index`
and `train` go on where they were when run again); 141 what reads the output has left.

Control characters in texts, file names and answers of servers are shown as symbols, and escaped in
`--json`; what a stream cannot encode is written as an escape.
"""


def render() -> str:
    """The page, as it should be."""
    commands = [_command(c.name or "", c.callback) for c in app.registered_commands]
    for group in (group.typer_instance for group in app.registered_groups):
        if group is bench:  # whose commands come when they are asked for
            callbacks = {name: command(open_bench(name)) for name in NAMES}
        else:
            callbacks = {
                c.name or c.callback.__name__: c.callback for c in group.registered_commands
            }
        commands += [_command(f"{group.info.name} {n}", c) for n, c in callbacks.items()]
    return "\n".join([HEADER, *commands])


def _command(name: str, callback: Any) -> str:
    hints = get_type_hints(callback, include_extras=True)
    arguments, rows = [], []
    for parameter in inspect.signature(callback).parameters.values():
        if hints[parameter.name] is Context:
            continue  # Typer's own
        kind, info = get_args(hints[parameter.name])
        required = parameter.default is inspect.Parameter.empty
        if isinstance(info, ArgumentInfo):
            shown = _argument(parameter.name, kind, required)
            arguments.append(shown)
        else:
            shown = _option(parameter.name, kind, info)
        default = "; ".join(_defaults(parameter.default, required, info))
        rows.append(f"| `{shown}` | {info.help} | {default} |")
    usage = " ".join(["unimoer-rag", name, *arguments, "[OPTIONS]"])
    head = ["| argument or option | what it is | default |", "|---|---|---|"]
    text = inspect.getdoc(callback) or ""
    return "\n".join([f"## {name}\n", f"```\n{usage}\n```\n", f"{text}\n", *head, *rows, ""])


def _argument(name: str, kind: Any, required: bool) -> str:
    name = name.upper() + ("..." if get_origin(kind) is list else "")
    return name if required else f"[{name}]"


def _option(name: str, kind: Any, info: OptionInfo) -> str:
    # In an annotation the first name stands where a default would.
    given = [d for d in (info.default, *(info.param_decls or ())) if isinstance(d, str)]
    dashed = f"--{name.replace('_', '-')}"
    if kind is bool:
        return ", ".join(given or (dashed, dashed.replace("--", "--no-")))
    return f"{', '.join(given or [dashed])} {_value(kind)}"


def _value(kind: Any) -> str:
    """What `X`, `X | None`, `list[X] | None` or a `Literal` takes."""
    if get_origin(kind) is Literal:
        return "\\|".join(get_args(kind))  # a bare | would end the table's cell
    return _VALUES.get(kind) or _value(get_args(kind)[0])


def _defaults(default: Any, required: bool, info: ArgumentInfo | OptionInfo) -> Iterator[str]:
    if required:
        yield "required"
    elif isinstance(default, bool):
        yield "on" if default else "off"
    elif default is not None:
        yield f"`{default}`"
    if info.envvar:
        yield f"the environment variable `{info.envvar}`"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
