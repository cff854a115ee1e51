"""The `unimoer-rag` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from unimoer_rag.cli import ask, evaluate, index, info, search, train
from unimoer_rag.cli.output import errors
from unimoer_rag.errors import UnimoerError

__all__ = ["app", "main"]

app = typer.Typer(
    name="unimoer-rag",
    help="One model that embeds, reranks and reads: index documents, search them, ask questions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index")(index.index)
app.command("search")(search.search)
app.command("ask")(ask.ask)
app.command("eval")(evaluate.evaluate_command)
app.command("train")(train.train_command)
app.command("info")(info.info)


def _version(shown: bool) -> None:
    if shown:
        from importlib import metadata

        typer.echo(metadata.version("unimoer-rag"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and leave.")
    ] = False,
) -> None:
    """One model that embeds, reranks and reads."""


def main() -> None:
    """Run the command line; library errors become one line and exit code 1."""
    try:
        app()
    except UnimoerError as error:
        errors.print(f"[bold red]error:[/] {_escaped(error)}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)


def _escaped(error: UnimoerError) -> str:
    from rich.markup import escape

    return escape(str(error))


if __name__ == "__main__":
    main()
