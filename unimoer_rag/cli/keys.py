"""Which key a server gets that a pipeline's file names: none that was not meant for it."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import typer

from unimoer_rag.cli.output import print_note
from unimoer_rag.cli.settings import Settings, is_typed
from unimoer_rag.urls import same_server, server_of, shown_url

__all__ = ["VARIABLES", "key_for"]

VARIABLES = {"api_key": "QDRANT_API_KEY", "chat_key": "UNIMOER_CHAT_KEY"}
"""The environment's names of keys, by the parameters of commands that hold them."""


def key_for(
    context: typer.Context,
    option: str,
    *,
    url: str | None,
    named_by: str | None,
) -> str | None:
    """The key of a command's option, or of the user's settings, for a server.

    A file may come from elsewhere, so a server that it names gets a key that was typed, that of the
    settings' `[keys]`, or the environment's where a variable `..._HOST` names the server too. Where
    a key is kept back, a line on standard error says so, and what to do.

    Args:
        context: of the command.
        option: the parameter that holds the key, of `VARIABLES`.
        url: of the server.
        named_by: the file that names the server; None where the user does, or what we ship.
    """
    key: str | None = context.params.get(option)
    if url is None or is_typed(context, option):
        return key
    settings = context.find_root().obj
    kept = settings.keys if isinstance(settings, Settings) else {}
    own = next((one for server, one in kept.items() if same_server(server, url)), None)
    if named_by is None or own is not None:
        return key if own is None else own
    variable = VARIABLES[option]
    given = os.environ.get(variable)
    if given and _names(os.environ.get(f"{variable}_HOST", ""), url):
        return given
    if key or given:
        server = server_of(url) or shown_url(url)
        host, typed = urlsplit(server).netloc or "its host", option.replace("_", "-")
        print_note(
            f"{variable} is not sent to {server}, which {named_by} names: to send it, give it as "
            f"--{typed}, or set {variable}_HOST to {host}"
        )
    return None


def _names(host: str, url: str) -> bool:
    """Whether a host, with or without its port, or a URL is that of a server."""
    host, server = host.strip().casefold(), server_of(url)
    if server is None or not host:
        return False
    if "://" in host:
        return same_server(host, url)
    parts = urlsplit(server)
    return host in (parts.hostname, parts.netloc)
