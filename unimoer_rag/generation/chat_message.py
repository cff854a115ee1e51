"""What the JSON of chat servers says: OpenAI's, and what others make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from unimoer_rag.retrieval import clean_text

__all__ = [
    "choice_of",
    "error_in",
    "first_logprobs_of",
    "reason_of",
    "said",
    "told",
    "transient",
    "usage_of",
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


def usage_of(event: Mapping[str, Any]) -> tuple[int, int] | None:
    """Tokens of a completion's prompt and of its reply; None where that is not told.

    >>> usage_of({"usage": {"prompt_tokens": 9, "completion_tokens": 2}})
    (9, 2)
    """
    usage = event.get("usage")
    told = usage if isinstance(usage, dict) else {}
    counts = (told.get("prompt_tokens"), told.get("completion_tokens"))
    prompt, reply = (n if isinstance(n, int) and n >= 0 else 0 for n in counts)
    return (prompt, reply) if prompt else None  # some servers send zeros


def first_logprobs_of(choice: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """A reply's most probable first tokens, each with its log-probability; () where none are told.

    Of what is no token with a number nothing is kept: they are a hint, and no part of the reply.
    """
    told = choice.get("logprobs")
    content = told.get("content") if isinstance(told, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    listed = first.get("top_logprobs") if isinstance(first, dict) else None
    return tuple(
        (one["token"], float(one["logprob"]))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict)
        and isinstance(one.get("token"), str)
        and isinstance(one.get("logprob"), int | float)
        and one["logprob"] <= 0  # neither NaN nor more than certain
    )


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
