"""`unimoer-rag ask`: an answer with its sources."""

from __future__ import annotations

from typing import Annotated

import typer

from unimoer_rag.cli.answering import Answering, opened, planned, tell_untrained
from unimoer_rag.cli.answers import print_answer
from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import INCOMPLETE, JsonFlag, print_found, print_piece
from unimoer_rag.cli.retrieval_options import ModelChoice, NewIndex, PipelinePlace
from unimoer_rag.cli.running import answered
from unimoer_rag.errors import InputError

__all__ = ["ask"]


@with_options
def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    *,
    place: PipelinePlace,
    how: Answering,
    model: ModelChoice,
    made: NewIndex,
    stream: bool = option("Print the answer as it is worded.", default=False),
    as_json: JsonFlag = False,
) -> None:
    """Answer a question from the documents, quoting them, or in the words of a chat model.

    Where no passage supports an answer, that is said and the nearest passages are named; the exit
    code is 0 all the same.
    """
    if stream and as_json:
        raise InputError("--stream prints text as it comes: leave out --json, or --stream")
    plan = planned(context, place, model, made, how)
    if not how.docs and (told := answered(plan.config, question, plan.filters)):
        answer, untrained = told
        if stream and answer.text is not None:
            print_piece(answer.text)
        print_found(
            answer.to_dict(), lambda: print_answer(answer, streamed=stream), as_json=as_json
        )
        if answer.text is None and untrained is not None:
            tell_untrained(untrained)
        return
    with opened(context, plan) as ready:
        answer = ready.streamed(question) if stream else ready.answer(question)
        print_found(
            answer.to_dict(),
            lambda: print_answer(answer, streamed=stream, places=ready.places),
            as_json=as_json,
        )
        if answer.text is None and ready.untrained:
            tell_untrained(ready.untrained)
    if not ready.complete:
        raise typer.Exit(INCOMPLETE)
