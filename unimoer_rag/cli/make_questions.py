"""`unimoer-rag eval make-questions`: questions on your documents, drafted to be looked through."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimoer_rag.cli.keys import key_for
from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import counting, print_note, print_piece, progress_bar, quiet
from unimoer_rag.cli.retrieval_options import CheckpointOption
from unimoer_rag.cli.targets import check_target, save_text
from unimoer_rag.errors import InputError
from unimoer_rag.wording import counted

if TYPE_CHECKING:
    from unimoer_rag.evaluation import Drafted
    from unimoer_rag.generation import Writes

__all__ = ["make_questions_command"]

_MAX_TOKENS = 512  # of a reply: three questions and their answers


@with_options
def make_questions_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Your documents.")],
    out: Path | None = option("The file of questions (JSONL). Without it: printed."),
    count: int = option("Questions, spread over the documents.", default=50),
    check: bool = option(
        "Leave those out that the checkpoint does not find or read.", default=False
    ),
    no_check: bool = option("Do not look: quicker on many documents.", default=False),
    llm: str | None = option(
        "A language model in this process writes them: a folder, or owner/name@commit."
    ),
    chat_url: str | None = option(
        "A chat server (OpenAI's interface) writes them.", envvar="UNIMOER_CHAT_URL"
    ),
    chat_model: str | None = option("Its model; the first one if not given."),
    chat_key: str | None = option("Its API key.", envvar="UNIMOER_CHAT_KEY"),
    seed: int = option("Of the draw.", default=0),
    checkpoint: CheckpointOption = "unimoer-minilm",
    index: Path | None = option("Keep the index of the check in this folder, for the next time."),
) -> None:
    """Draft questions on your documents, for `eval --own`, `calibrate --own` and `train --own`.

    Rules turn English sentences with a definite fact into questions; a language model writes them
    where one is named. Each has its answer and the sentence it stands in. Those whose passage is
    not found, or whose answer the reader does not take out of it, carry the field "doubts". They
    are drafts: read them, mend them, delete the bad ones, and add what your users ask.
    """
    if check and no_check:
        raise InputError("--check and --no-check exclude each other: give one of them")
    if out is not None and out.is_file():
        raise InputError(
            f"{out} exists, with questions that may have been mended: name another file"
        )
    check_target(out)
    writes = _writes(context, llm, chat_url, chat_model)
    quiet()
    from unimoer_rag.data import as_lines
    from unimoer_rag.evaluation import make_questions
    from unimoer_rag.model import UniMoER

    with progress_bar() as bar:
        drafted = make_questions(
            folder,
            UniMoER.from_pretrained(checkpoint),
            count=count,
            doubtful="drop" if check else "unchecked" if no_check else "mark",
            writes=writes,
            seed=seed,
            index=index,
            on_progress=counting(bar),
        )
    lines = as_lines(drafted.drafts)
    if out is None:
        print_piece(lines)
    else:
        save_text(lines, out)
    _tell(drafted, folder, out, count=count, dropped=check)


def _writes(
    context: typer.Context, llm: str | None, url: str | None, model: str | None
) -> Writes | None:
    """The language model that was named; None for the rules."""
    from unimoer_rag.cli.settings import is_typed

    if llm is not None and is_typed(context, "chat_url"):
        raise InputError("--llm and --chat-url are two language models: give one of them")
    if model is not None and (url is None or llm is not None):
        raise InputError(f"--chat-model is {model!r}: say where its chat server is (--chat-url)")
    if llm is not None:
        from unimoer_rag.generation import LocalLLM, Writer

        return Writer(LocalLLM(llm, max_tokens=_MAX_TOKENS), prompt="questions")
    if url is None:
        return None
    from unimoer_rag.generation import ChatServer

    key = key_for(context, "chat_key", url=url, named_by=None)
    return ChatServer(url, model, api_key=key, prompt="questions", max_tokens=_MAX_TOKENS)


def _tell(drafted: Drafted, folder: Path, out: Path | None, *, count: int, dropped: bool) -> None:
    """What was drafted, and what to do with it."""
    documents = {draft.source for draft in drafted.drafts}
    doubtful = f"; {drafted.doubtful} doubtful, " + ("left out" if dropped else 'see "doubts"')
    print_note(
        f"{counted(len(drafted.drafts), 'question')} on {len(documents)} of "
        f"{counted(drafted.documents, 'document')} ({counted(drafted.passages, 'passage')})"
        + (doubtful if drafted.doubtful else "")
    )
    for reason, n in drafted.dropped.most_common():
        print_note(f"not used, {reason}: {n}")
    for problem in drafted.unreadable:
        print_note(str(problem))
    if len(drafted.drafts) < count:
        print_note(f"no more were found; {count} were asked for")
    if out is not None:
        print_note(
            "they are drafts: read them through, then "
            f"unimoer-rag eval --own {shlex.quote(str(folder))} --questions {shlex.quote(str(out))}"
        )
