"""What the JSON of chat servers says: OpenAI's, and what others make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from unimoer_rag.retrieval import clean_text

__all__ = [
    "choice_of",
    "error_in",
    "reason_of",
    "said",
    "told",
    "transient",
    "words_of",
]

# Worth another try: the server is overloaded, starting, or behind a proxy that does not reach it.
_TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504)
# The reasons of a reply that ended by itself, as servers call them; any other one cut it.
_COMPLETE = ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_str", "completed")
_CUT = {"max_tokens": "length", "model_length": "length", "safety": "content_filter"}
_SAID = 300  # characters of what a server says


def transient(status: object) -> bool:
    """Whether a status is one that another try may not meet."""
    return status in _TRANSIENT or (isinstance(status, str) and status in map(str, _TRANSIENT))


def choice_of(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first choice of a completion or of a part of one; None where it has none.

    Servers send parts without choices: of usage, of a filter's opinion, to keep a connection open.

    Raises:
        TypeError: its choices are none.
    """
    choices = event.get("choices")
    if not isinstance(choices, list | None):
        raise TypeError("choices is no list")
    for choice in choices or ():
        if choice is None:
            continue
        if not isinstance(choice, dict):
            raise TypeError("a choice is no object")
        if not choice.get("index"):  # others are of a request for several answers
            return choice
    return None


def words_of(message: object) -> str:
    """The words of a message or a part of one; "" where it has none.

    Raises:
        TypeError: it is no message.
    """
    if message is None:
        return ""
    if not isinstance(message, dict):
        raise TypeError("a message is no object")
    return _text(message.get("content")) or _text(message.get("refusal"))


def _text(content: object) -> str:
    """A message's content: text, or a list of parts of which some are text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(_part, content))
    raise TypeError(f"content is {type(content).__name__}")


def _part(part: object) -> str:
    if isinstance(part, str | None):
        return part or ""
    if not isinstance(part, dict):
        raise TypeError("a part of content is no object")
    text = part.get("text") if part.get("type") in (None, "text", "output_text") else None
    if isinstance(text, dict):
        text = text.get("value")
    return text if isinstance(text, str) else ""


def reason_of(choice: Mapping[str, Any]) -> str | None:
    """Why a choice ended; None where it has not."""
    reason = choice.get("finish_reason")
    if reason in (None, "", False) or str(reason).casefold() in ("null", "none"):
        return None
    name = str(reason).casefold()
    return "stop" if name in _COMPLETE else _CUT.get(name, clean_text(str(reason)[:40]))


def error_in(event: Mapping[str, Any]) -> object:
    """The error that a server reports in an event, in whichever of the usual places; or None.

    `"error": null` is none.
    """
    if event.get("error"):
        return event["error"]
    if event.get("object") == "error" or event.get("error_code"):
        return event
    if "choices" not in event and event.get("detail"):
        return event["detail"]
    return None


def said(text: str) -> str:
    """The message in an error's body, in whichever of the usual places it is."""
    try:
        return told(json.loads(text)) or "no reason given"
    except (ValueError, RecursionError):
        return _short(text) or "no reason given"


def told(found: object) -> str:
    """The message in what JSON of an error became."""
    for _ in range(4):
        if isinstance(found, list) and found:
            found = found[0]
        if not isinstance(found, dict):
            break
        inner = (found.get(key) for key in ("error", "message", "detail", "msg"))
        found = next(filter(None, inner), None) or json.dumps(found)
    return _short(str(found)) if found else ""


def _short(text: str) -> str:
    """On one line."""
    return clean_text(" ".join(text.split())[:_SAID])
