"""URLs as they may be shown, and the servers that keys belong to."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

__all__ = [
    "same_server",
    "server_of",
    "shown_url",
    "shown_urls_in_logs",
    "url_secrets",
    "without_secrets",
]

_HIDDEN = "***"
_SCHEME = re.compile(r"^[\w+.-]*:?//")
# A host with a port or without: what can stand before the first slash where nothing is hidden.
_HOST = re.compile(r"(?:\[[^\]@]*\]|[^:@\\\s]*)(?::\d*)?")
_PORTS = {"http": 80, "https": 443}


def shown_url(url: object) -> str:
    """A URL as it may be shown: without user, password, values of its query, and fragment.

    Every message, log line, trace and file that names a URL names this. Text that is no URL, such
    as one with a slash in its password, loses whatever could be a secret.

    >>> shown_url("http://me:secret@localhost:6333/v1?api-version=2&key=abc")
    'http://localhost:6333/v1?api-version=***&key=***'
    """
    scheme, rest = _split(str(url))
    _, _, place = _without_user(rest)
    place, _, _ = place.partition("#")
    place, mark, query = place.partition("?")
    pairs = [name for name in query.split("&") if name]
    shown = "&".join(f"{n}={_HIDDEN}" if e else _HIDDEN for n, e, _ in map(_pair, pairs))
    return f"{scheme}{place}{mark if shown else ''}{shown}"


def url_secrets(url: object) -> list[str]:
    """What `shown_url` leaves out of a URL, in every form in which an error may quote it."""
    _, rest = _split(str(url))
    user, at, place = _without_user(rest)
    name, _, password = user.partition(":")
    query = place.partition("#")[0].partition("?")[2]
    values = [value if e else whole for whole, e, value in map(_pair, query.split("&"))]
    found = [user, password, *values]
    found += [unquote(one) for one in found]
    if at:
        header = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
        found.append(header)
    # One or two letters stand in every text, and are no secret.
    return [one for one in dict.fromkeys(found) if len(one) > 2]


def without_secrets(text: str, secrets: Iterable[str | None]) -> str:
    """A text with `***` in place of the secrets, for what a server or a library says of itself.

    >>> without_secrets("no such key: sk-abc", ["sk-abc", None])
    'no such key: ***'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def shown_urls_in_logs(logger: str) -> None:
    """Have a library log URLs as `shown_url` shows them: httpx logs every request with its own."""
    log = logging.getLogger(logger)
    if not any(isinstance(one, _ShownUrls) for one in log.filters):
        log.addFilter(_ShownUrls())


class _ShownUrls(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(shown_url(a) if "://" in str(a) else a for a in record.args)
        return True


def server_of(url: str) -> str | None:
    """The server of a URL, as scheme, host and port; None where it names none.

    >>> server_of("HTTPS://me:pw@Example.org/v1")
    'https://example.org:443'
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    host = (parts.hostname or "").rstrip(".")
    if not host or port is None:
        return None
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def same_server(url: str, other: str) -> bool:
    """Whether two URLs are of one server: the same scheme, host and port."""
    server = server_of(url)
    return server is not None and server == server_of(other)


def _split(url: str) -> tuple[str, str]:
    """A URL's scheme with its slashes, and what follows."""
    found = _SCHEME.match(url.strip())
    scheme = found[0] if found else ""
    return scheme, url.strip()[len(scheme) :]


def _without_user(rest: str) -> tuple[str, str, str]:
    """User and password, the sign that ends them, and what follows; none where there are none."""
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if _HOST.fullmatch(authority):
        # A password of digits up to a slash looks like a port.
        path = re.split(r"[?#]", rest, maxsplit=1)[0]
        user, at, _ = path.rpartition("@") if ":" in authority else ("", "", "")
    else:
        user, at, _ = rest.rpartition("@")
    return (user, at, rest[len(user) + len(at) :])


def _pair(part: str) -> tuple[str, str, str]:
    return part.partition("=")
