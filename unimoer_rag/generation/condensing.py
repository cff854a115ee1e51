"""A follow-up as a question of its own, by a language model: what it is asked, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from unimoer_rag.errors import InputError
from unimoer_rag.generation.citing import uncited
from unimoer_rag.generation.harmless import broken_tokens, one_block
from unimoer_rag.generation.spoken import WholeCharacters, spoken
from unimoer_rag.yaml_files import read_yaml

__all__ = ["condensing_messages", "read_condensed"]

_FILE = Path(__file__).parent / "prompts" / "condensing" / "standalone.yaml"
_BLANKS = re.compile(r"\{(history|question)\}")
# Characters, of which a token has one at least and four as a rule: whoever replies may be a server
# whose tokenizer is not here.
_ANSWER, _HISTORY = 500, 4000
_LONGEST = 400  # characters of a question that a model may have made
_LABEL = re.compile(r"^(?:[A-Za-z]+ ){0,2}question:\s*", re.IGNORECASE)
_QUOTES = "\"'`*“”‘’ "


class _Prompt(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = Field(min_length=1)
    user: str = Field(pattern=r"(?s)\{history\}.*\{question\}")


@cache
def _prompt() -> _Prompt:
    return read_yaml(_FILE, _Prompt, whole="prompt", error=InputError)


def condensing_messages(
    question: str, turns: Iterable[tuple[str, str | None]]
) -> list[dict[str, str]]:
    """What a language model is asked to make a follow-up a question of its own.

    What was said is data: each question and answer is one block (see `one_block`) without control
    tokens. The last turns are told, as many as 4,000 characters hold, of an answer the first 500.

    Args:
        question: what is asked now.
        turns: questions and answers before it, oldest first.
    """
    told: list[str] = []
    left = _HISTORY
    for asked, answer in reversed(list(turns)):
        said = f"Question: {_quoted(asked)}\nAnswer: {_quoted((answer or 'none')[:_ANSWER])}"
        left -= len(said)
        if left < 0:
            break
        told.append(said)
    filling = {"history": "\n".join(reversed(told)), "question": _quoted(question)}
    user = _BLANKS.sub(lambda blank: filling[blank[1]], _prompt().user)
    return [{"role": "system", "content": _prompt().system}, {"role": "user", "content": user}]


def read_condensed(reply: str, question: str) -> str | None:
    """The question in a model's reply; None where it is none, such as an answer or a talk.

    Args:
        reply: the model's words; thoughts that it begins with are no part of it.
        question: the follow-up it was asked to rewrite.

    >>> read_condensed('Standalone question: "When is the deposit paid back?"', "When?")
    'When is the deposit paid back?'
    >>> read_condensed("It is paid back within 3 days.", "When is it paid back?") is None
    True
    """
    whole = WholeCharacters()
    text = uncited(spoken(whole.take(reply) + whole.end())).strip()
    text = _LABEL.sub("", text.strip(_QUOTES)).strip(_QUOTES)
    fits = 0 < len(text) <= _LONGEST and "\n" not in text
    asks = text.endswith("?") or not question.rstrip().endswith("?")
    return text if fits and asks else None


def _quoted(text: str) -> str:
    return broken_tokens(one_block(text))
