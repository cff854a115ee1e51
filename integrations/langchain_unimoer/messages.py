"""LangChain's messages as the text that a model here reads."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
)

from unimoer_rag.errors import InputError

__all__ = ["message_text", "to_conversation"]

_ROLES = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant"}


def message_text(message: BaseMessage) -> str:
    """A message's text; the thoughts of another model are no part of it.

    Raises:
        InputError: it holds an image, a tool's call or another thing that is no text.
    """
    kinds = {block["type"] for block in message.content_blocks} - {"text", "reasoning"}
    if kinds:
        raise InputError(
            f"there is a message with {', '.join(sorted(kinds))}: the model reads text alone"
        )
    return str(message.text)


def to_conversation(messages: Sequence[BaseMessage]) -> list[dict[str, str]]:
    """Messages with `role` and `content`, as language models here continue them.

    Raises:
        InputError: there are none, or one is of a tool or holds what is no text.
    """
    if not messages:
        raise InputError("there are no messages to reply to: give one, such as a HumanMessage")
    return [{"role": _role(message), "content": message_text(message)} for message in messages]


def _role(message: BaseMessage) -> str:
    for kind, role in _ROLES.items():
        if isinstance(message, kind):
            return role
    if isinstance(message, ChatMessage) and message.role in _ROLES.values():
        return message.role
    named = message.role if isinstance(message, ChatMessage) else message.type
    raise InputError(
        f"a message is of the role {named!r}: expected a SystemMessage, HumanMessage or AIMessage, "
        "as the model calls no tools"
    )
