"""The `unimoer-rag` command."""

from __future__ import annotations

import logging
import sys
import warnings
from pkgutil import resolve_name
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from unimoer_rag.cli import (
    ask,
    calibrate,
    chat,
    demo,
    docs,
    evaluate,
    experts,
    export,
    index,
    info,
    make_questions,
    mcp,
    ranking,
    report,
    search,
    serve,
    train,
    verify,
)
from unimoer_rag.cli.groups import PhraseGroup
from unimoer_rag.cli.output import INTERRUPTED, print_note
from unimoer_rag.cli.settings import default_map, find_settings
from unimoer_rag.cli.terminal import (
    Terminal,
    harmless,
    leave_quietly,
    prepare_streams,
    read_as_utf8,
)
from unimoer_rag.errors import UnimoerError

__all__ = ["app", "main"]


_UsageError: Any = typer.BadParameter.__base__  # Typer has no other name for it


class _Commands(PhraseGroup):
    """Makes one line and an exit code of what goes wrong; bugs keep their traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        prepare_streams()
        try:
            try:
                return super().main(*args, **options)
            finally:
                sys.stdout.flush()  # here, where it can be told that nothing takes it
        except BrokenPipeError:
            leave_quietly()
        except OSError as error:
            _say_error(f"cannot write the output: {error.strerror or error}")
            leave_quietly(code=1)

    def invoke(self, ctx: Any) -> Any:
        try:
            ctx.obj = settings = find_settings()
            ctx.default_map = default_map(self, settings)
            return super().invoke(ctx)
        except UnimoerError as error:
            _fail(str(error))
        except _UsageError as error:  # Typer tells it, with what was typed or a * stood for
            error.message = harmless(error.message)
            raise
        except BrokenPipeError:
            leave_quietly()
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            _fail(f"{error.strerror or error}{where}")
        except KeyboardInterrupt:
            print_note("interrupted")
            raise typer.Exit(INTERRUPTED) from None


def _fail(message: str) -> NoReturn:
    _say_error(message)
    raise typer.Exit(1)


def _say_error(message: str) -> None:
    told = Text.assemble(("error: ", "bold red"), message)
    print_note(told)


app = typer.Typer(
    name="unimoer-rag",
    cls=_Commands,
    help="One model that embeds, reranks and reads: index documents, search them, ask questions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Panels of the help: what everybody uses comes first.
# By name: nothing outside the laboratory imports it.
_LAB = "unimoer_rag.lab.commands"
USE, MEASURE, TRAIN = "Use", "Measure", "Train"
app.command("demo", rich_help_panel=USE)(demo.demo)
app.command("index", rich_help_panel=USE)(index.index)
app.command("index verify", rich_help_panel=USE)(verify.verify)
app.command("search", rich_help_panel=USE)(search.search)
app.command("ask", rich_help_panel=USE)(ask.ask)
app.command("chat", rich_help_panel=USE)(chat.chat)
app.command("serve", rich_help_panel=USE)(serve.serve)
app.command("mcp", rich_help_panel=USE)(mcp.mcp)
app.add_typer(docs.docs, rich_help_panel=USE)
app.command("info", rich_help_panel=USE)(info.info)
app.command("eval", rich_help_panel=MEASURE)(evaluate.evaluate_command)
app.command("eval make-questions", rich_help_panel=MEASURE)(make_questions.make_questions_command)
app.add_typer(report.report, rich_help_panel=MEASURE)
app.command("calibrate", rich_help_panel=MEASURE)(calibrate.calibrate)
app.add_typer(resolve_name(f"{_LAB}:bench"), rich_help_panel=MEASURE)
app.add_typer(train.train, rich_help_panel=TRAIN)
app.add_typer(experts.experts, rich_help_panel=TRAIN)
app.add_typer(ranking.ranking, rich_help_panel=TRAIN)
app.command("export", rich_help_panel=TRAIN)(export.export)
app.add_typer(resolve_name(f"{_LAB}:study"), rich_help_panel=TRAIN)


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
    """One model that embeds, reranks and reads: index documents, search them, ask questions."""


def main() -> None:
    """Run the command line."""
    read_as_utf8()
    # Typer prints help through consoles of its own.
    Console.on_broken_pipe = Terminal.on_broken_pipe  # type: ignore[method-assign,assignment]
    warnings.formatwarning = _warning
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Line("warning: %(message)s"))
    app()


def _warning(message: Warning | str, *_: Any, **__: Any) -> str:
    """One line, without the place in the code."""
    return f"warning: {harmless(str(message))}\n"


class _Line(logging.Formatter):
    """What the library logs, such as names of damaged files."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


if __name__ == "__main__":
    main()
