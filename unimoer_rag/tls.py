"""What a certificate of a server is checked against: read once a process."""

from __future__ import annotations

import os
import ssl
from functools import cache

__all__ = ["tls_context"]


def tls_context() -> ssl.SSLContext:
    """httpx's own settings of TLS, shared by all clients.

    Each client would read the certificates of every authority again: 30 ms, at addresses without
    TLS too.
    """
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The context while the variables that httpx reads are these."""
    import httpx

    return httpx.create_ssl_context()
