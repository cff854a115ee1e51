"""`unimoer-rag demo`: from nothing to an answer with its sources, with documents of ours."""

from __future__ import annotations

import filecmp
import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from unimoer_rag.cli.answers import print_answer
from unimoer_rag.cli.index import add_corpora, scan_paths
from unimoer_rag.cli.output import print_text
from unimoer_rag.cli.retrieval_options import IndexPlace, LoadedModel, open_retriever
from unimoer_rag.errors import InputError
from unimoer_rag.wording import counted

__all__ = ["QUESTIONS", "demo"]

QUESTIONS = ("How long do refunds take?", "Who won the 1998 World Cup?")
"""One that the documents answer, and one that they do not."""

_NAME = "handbook"
_SAMPLES = (
    Path(__file__).parent.parent / "_presets" / _NAME,
    Path(__file__).parents[2] / "examples" / _NAME,
)


def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where the documents and their index go; made if absent.")
    ] = Path(),
) -> None:
    """Put the sample documents into ./handbook, index them, and ask two questions.

    Each step is told as the command that does it, to be tried with other words. What is there from
    an earlier run is used again.
    """
    documents, index = folder / _NAME, folder / f"{_NAME}.index"
    _copy(documents)
    corpora = scan_paths([documents])
    with open_retriever(IndexPlace(index), LoadedModel()) as retriever:
        _tell("index", documents, "--index", index)
        report = add_corpora(retriever, corpora)
        print_text(
            f"{counted(report.documents, 'document')}: {counted(report.added, 'passage')} added; "
            "the index holds "
            f"{retriever.count()}"
        )
        from unimoer_rag.pipelines import RagPipeline

        pipeline = RagPipeline(retriever)
        for question in QUESTIONS:
            _tell("ask", question, "--index", index)
            print_answer(pipeline.answer(question))
    print_text("")
    _tell("search", "may I bring my dog?", "--index", index)
    print_text("is the next to try; then your own documents: unimoer-rag index FOLDER --index DIR")


def _copy(target: Path) -> None:
    """The sample documents, unless they are there; nothing of somebody else's is touched."""
    samples = next((folder for folder in _SAMPLES if folder.is_dir()), None)
    if samples is None:
        raise InputError("the sample documents are missing: install unimoer-rag again")
    names = sorted(file.name for file in samples.iterdir())
    if target.exists():
        _, others, unreadable = filecmp.cmpfiles(samples, target, names, shallow=False)
        if others or unreadable or sorted(p.name for p in target.iterdir()) != names:
            raise InputError(
                f"{target} is there and holds other documents: name another folder, as in "
                "unimoer-rag demo try-it"
            )
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(samples, target, copy_function=shutil.copyfile)


def _tell(*words: object) -> None:
    """A command, as one would type it."""
    print_text(Text(f"$ unimoer-rag {shlex.join(map(str, words))}", "bold cyan"))
