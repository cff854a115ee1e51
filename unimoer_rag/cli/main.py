"""The `unimoer-rag` command."""

from __future__ import annotations

import errno
from typing import Annotated, Any

import typer
from rich.text import Text

from unimoer_rag.cli import (
    ask,
    bench,
    calibrate,
    docs,
    evaluate,
    experts,
    index,
    info,
    report,
    search,
    study,
    train,
    verify,
)
from unimoer_rag.cli.groups import PhraseGroup
from unimoer_rag.cli.output import INTERRUPTED, errors
from unimoer_rag.errors import UnimoerError

__all__ = ["app", "main"]


class _Commands(PhraseGroup):
    """Makes one line and an exit code of what goes wrong; bugs keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UnimoerError as error:
            _fail(str(error))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of our output left; Typer ends the run quietly
            _fail(f"{error.strerror or error}: {error.filename or 'no file named'}")
        except KeyboardInterrupt:
            errors.print("interrupted")
            raise typer.Exit(INTERRUPTED) from None


def _fail(message: str) -> None:
    errors.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(1)


app = typer.Typer(
    name="unimoer-rag",
    cls=_Commands,
    help="One model that embeds, reranks and reads: index documents, search them, ask questions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index")(index.index)
app.command("index verify")(verify.verify)
app.command("search")(search.search)
app.command("ask")(ask.ask)
app.command("eval")(evaluate.evaluate_command)
app.command("calibrate")(calibrate.calibrate)
app.command("info")(info.info)
app.add_typer(docs.docs)
app.add_typer(bench.bench)
app.add_typer(experts.experts)
app.add_typer(report.report)
app.add_typer(study.study)
app.add_typer(train.train)


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
    app()


if __name__ == "__main__":
    main()
