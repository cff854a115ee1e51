"""E-mail: who wrote what to whom, and the text of the message."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage, Message

from unimoer_rag.retrieval.limits import MAX_TEXT_BYTES, TooLargeError, in_mebibytes
from unimoer_rag.retrieval.readers.decoding import decode
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, reading
from unimoer_rag.retrieval.readers.html import html_text
from unimoer_rag.retrieval.text import legible_text

__all__ = ["read_email"]

_HEADERS = ("Subject", "From", "To", "Cc", "Date")


def read_email(data: bytes) -> Extracted:
    """Subject, sender, receivers and date, the text, and the names of what is attached."""
    with reading("EML"):
        if len(data) > MAX_TEXT_BYTES:
            raise TooLargeError(f"the message is larger than {in_mebibytes(MAX_TEXT_BYTES)}")
        message = email.message_from_bytes(data, policy=email.policy.default)
        head = [f"{name}: {message[name]}" for name in _HEADERS if message[name]]
        if not head:
            raise UnreadableError("it has no subject, sender or date, so it is no e-mail")
        subject = str(message["Subject"] or "")
        attached: list[str] = []
        parts = list(_texts(message, attached))
    if attached:
        parts.append(f"Attachments: {', '.join(attached)}")
    notes = (f"what is attached was not read: {', '.join(attached)}",) if attached else ()
    text = "\n\n".join(filter(None, ["\n".join(head), *parts]))
    return Extracted(legible_text(text), subject, notes=notes)


def _texts(part: Message, attached: list[str]) -> Iterator[str]:
    kind = part.get_content_type()
    if kind == "multipart/alternative":
        yield _best([list(_texts(choice, attached)) for choice in _parts(part)])
    elif part.is_multipart():
        if kind == "message/rfc822":  # a message within a message
            for inner in _parts(part):
                yield "\n".join(f"{name}: {inner[name]}" for name in _HEADERS if inner[name])
        for inner in _parts(part):
            yield from _texts(inner, attached)
    elif part.get_content_disposition() == "attachment" or part.get_content_maintype() != "text":
        attached.append(part.get_filename() or kind)
    else:
        text = _text(part)
        yield html_text(text).text if kind == "text/html" else text.strip()


def _parts(part: Message) -> list[Message]:
    found = part.get_payload()
    return [inner for inner in found if isinstance(inner, Message)]


def _best(choices: list[list[str]]) -> str:
    """The same text in several forms: the first that has some, which is the plainest."""
    texts = ("\n\n".join(filter(None, choice)) for choice in choices)
    return next((text for text in texts if text.strip()), "")


def _text(part: Message) -> str:
    if isinstance(part, EmailMessage):
        try:
            return str(part.get_content())
        except (LookupError, UnicodeError):
            pass  # a character set that nobody knows
    payload = part.get_payload(decode=True)
    return decode(payload).text if isinstance(payload, bytes) else ""
