"""The text of a state, as decision models of LangChain are given one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_unimoer.messages import message_text
from unimoer_rag.errors import InputError

__all__ = ["read_state"]


def read_state(state: Any) -> tuple[str, str | None]:
    """A state's text, and the second one where it has a pair.

    Args:
        state: a text, a message, a list of these (joined by newlines), or a mapping with a "text"
            and perhaps a "pair", each of which is one of the others.

    Raises:
        InputError: it is something else, or holds an image or another medium.

    >>> read_state({"text": "It rains.", "pair": "It is wet."})
    ('It rains.', 'It is wet.')
    """
    if not isinstance(state, Mapping):
        return _text(state), None
    if "text" not in state or state.keys() - {"text", "pair"}:
        raise InputError(
            f"the state has the keys {', '.join(map(str, state)) or 'none'}: expected 'text', and "
            "'pair' for a second text"
        )
    return _text(state["text"]), _text(state["pair"]) if "pair" in state else None


def _text(state: Any) -> str:
    if isinstance(state, str):
        return state
    if isinstance(state, BaseMessage):
        return message_text(state)
    if isinstance(state, Sequence) and not isinstance(state, bytes):
        return "\n".join(map(_text, state))
    raise InputError(
        f"the state holds a {type(state).__name__}: expected a text, a message, a list of these, "
        "or a mapping with 'text' and 'pair'"
    )
