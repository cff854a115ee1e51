"""The turns of a conversation, however whoever asks has kept them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.foreign_types import is_a
from unimoer_rag.generation import uncited, words_of
from unimoer_rag.pipelines.answer import Answer
from unimoer_rag.retrieval import clean_text

__all__ = ["History", "Turn", "read_history"]

_KEPT = 6  # turns that are looked at: the last ones
_SILENT = ("system", "developer", "tool", "function")
_ROLES = {"human": "user", "ai": "assistant"}  # LangChain's words
_EXPECTED = "an Answer, a pair (question, answer), or a message {'role': ..., 'content': ...}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A question of a conversation with its answer.

    Attributes:
        question: what was asked.
        answer: what was answered, the numbers of sources left out; None where there was no answer.
        settled: the question stands alone: it is what a pipeline made of a follow-up.
    """

    question: str
    answer: str | None = None
    settled: bool = False


History = Iterable[Answer | Sequence[str | None] | Mapping[str, object] | Any]
"""Earlier turns, oldest first: `Answer`s, pairs of question and answer, or messages as of OpenAI.

Messages of LangChain and LlamaIndex are taken as they are.

A message of the role "user" is a question, one of "assistant" answers the question before it, and
those of "system", "developer", "tool" and "function" are passed over.
"""


def read_history(history: History | None, question: str) -> list[Turn]:
    """The last turns of a history, oldest first.

    Args:
        history: see `History`.
        question: what is asked now; at the end of a history it is no turn of it.

    Raises:
        InputError: it is no sequence of turns; names the one that is none.

    >>> read_history([{"role": "user", "content": "Refunds?"}], "When?")
    [Turn(question='Refunds?', answer=None, settled=False)]
    >>> read_history([("Refunds?", "Yes [1].")], "When?")
    [Turn(question='Refunds?', answer='Yes.', settled=False)]
    """
    if history is None:
        return []
    if isinstance(history, str | bytes | Mapping) or not isinstance(history, Iterable):
        raise InputError(
            f"history is a {type(history).__name__}: expected a sequence of turns, each {_EXPECTED}"
        )
    turns: list[Turn] = []
    for number, one in enumerate(map(_plain, history)):
        if not isinstance(one, Mapping):
            turns.append(_turn(one, number))
            continue
        role, text = _message(one, number)
        if role == "user":
            turns.append(Turn(text))
        elif role == "assistant" and turns:  # a greeting answers nothing
            said = filter(None, (turns[-1].answer, text))
            turns[-1] = replace(turns[-1], answer="\n".join(said) or None)
    if turns and turns[-1] == Turn(question):
        turns.pop()
    return [_readable(turn) for turn in turns[-_KEPT:]]


def _plain(one: object) -> object:
    """A message of LangChain or LlamaIndex, which are not imported here, as one of OpenAI."""
    said: Any = one
    if is_a(one, "langchain_core", "BaseMessage"):
        return {"role": _ROLES.get(said.type, said.type), "content": said.content}
    if is_a(one, "llama_index", "ChatMessage"):
        return {"role": said.role.value, "content": said.content or ""}
    return one


def _turn(one: object, number: int) -> Turn:
    if isinstance(one, Answer):
        return Turn(one.standalone or one.question, one.text, settled=True)
    if isinstance(one, Sequence) and not isinstance(one, str) and len(one) == 2:
        asked, answer = one
        if asked in ("user", "assistant", *_SILENT):
            raise InputError(
                f"history[{number}] is ({asked!r}, ...): expected a message as a dict, "
                "{'role': ..., 'content': ...}, or a pair (question, answer)"
            )
        if isinstance(asked, str) and isinstance(answer, str | None):
            return Turn(asked, answer)
    raise InputError(f"history[{number}] is {_shown(one)}: expected {_EXPECTED}")


def _message(one: Mapping[str, object], number: int) -> tuple[str, str]:
    """The role of a message, and its text."""
    role = one.get("role")
    if "role" not in one:
        raise InputError(
            f"history[{number}] has no role, only {', '.join(map(repr, one))}: expected {_EXPECTED}"
        )
    if role not in ("user", "assistant", *_SILENT):
        raise InputError(
            f"history[{number}] has the role {role!r}: expected 'user' or 'assistant' (or one that "
            f"is passed over: {', '.join(_SILENT)})"
        )
    try:
        return str(role), "" if role in _SILENT else words_of(dict(one))
    except TypeError as error:
        raise InputError(
            f"history[{number}] has no text for its content ({error}): expected words, or a list "
            "of parts"
        ) from error


def _readable(turn: Turn) -> Turn:
    answer = uncited(turn.answer or "").strip()
    question, answer = clean_text(turn.question), clean_text(answer)
    return replace(turn, question=question, answer=answer or None)


def _shown(one: object) -> str:
    if isinstance(one, Sequence) and not isinstance(one, str | bytes):
        return f"a {type(one).__name__} of {len(one)}"
    return f"a {type(one).__name__}"
