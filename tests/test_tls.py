"""TLS settings are read once, and are httpx's own."""

from __future__ import annotations

import ssl

import httpx
import pytest

from unimoer_rag.tls import tls_context


def test_clients_share_what_is_read_once() -> None:
    context = tls_context()
    assert tls_context() is context
    own = httpx.create_ssl_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == own.minimum_version
    assert context.cert_store_stats() == own.cert_store_stats()


def test_other_certificates_are_read_when_the_environment_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import certifi

    before = tls_context()
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    assert tls_context() is not before
