"""Making a follow-up a question of its own: by the language model that answers, or by rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from unimoer_rag.errors import GenerationError, InputError
from unimoer_rag.generation import Replies, Writes, condensing_messages, read_condensed
from unimoer_rag.pipelines.follow_up import stand_alone
from unimoer_rag.pipelines.history import Turn
from unimoer_rag.pipelines.tracing import Trace
from unimoer_rag.steps import Steps, either

__all__ = ["FollowUp", "check_follow_up", "condense"]

FollowUp = Literal["auto", "rules", "model", "none"]
"""Who makes a follow-up a question of its own; "auto": the language model, where one answers."""


def check_follow_up(follow_up: str, generator: Writes) -> None:
    """Refuse what no follow-up can be treated by.

    Raises:
        InputError: it is no `FollowUp`, or "model" where no language model answers.
    """
    if follow_up not in get_args(FollowUp):
        known = ", ".join(get_args(FollowUp))
        raise InputError(f"follow_up is {follow_up!r}: expected one of {known}")
    if follow_up == "model" and not isinstance(generator, Replies):
        raise InputError(
            f"follow_up is 'model', but {type(generator).__name__} is no language model with reply "
            "and areply: use 'rules', or a generator such as a ChatServer or a Writer"
        )


def condense(
    question: str,
    turns: Sequence[Turn],
    *,
    follow_up: FollowUp,
    generator: Writes,
    trace: Trace,
) -> Steps[str]:
    """The question of its own that a question is after these turns.

    A model is asked once; where its reply is no question, or it fails, the rules decide.

    Args:
        question: what is asked.
        turns: what was asked and answered before, oldest first.
        follow_up: who decides.
        generator: answers; asked where it `Replies`.
        trace: times it.
    """
    if not turns or follow_up == "none":
        return question
    with trace.stage("condense") as stage:
        made = None
        if follow_up != "rules" and isinstance(generator, Replies):
            made = yield from _by_model(question, turns, generator)
        stage.tell(
            {
                "unimoer.turns": len(turns),
                "unimoer.condensed_by": "rules" if made is None else "model",
            }
        )
        standalone = stand_alone(question, turns) if made is None else made
        stage.tell({"unimoer.condensed": standalone != question})
        stage.quote({"unimoer.standalone": standalone})
    return standalone


def _by_model(question: str, turns: Sequence[Turn], model: Replies) -> Steps[str | None]:
    messages = condensing_messages(question, [(turn.question, turn.answer) for turn in turns])
    try:
        reply = yield from either(model.reply, model.areply, messages)
    except GenerationError:
        return None  # the answer, asked of the same model, tells of it
    return read_condensed(reply, question)
