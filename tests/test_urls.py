"""URLs as they may be shown, and which of them are of one server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.urls import same_server, server_of, shown_url, url_secrets, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:6333", "http://localhost:6333"),
        ("http://me:secret@localhost:6333/v1/", "http://localhost:6333/v1/"),
        ("https://secret@host/v1", "https://host/v1"),
        ("http://me:sec@ret@host:1/x", "http://host:1/x"),
        # What somebody types who does not encode a password.
        ("http://me:sec/ret@host/v1", "http://host/v1"),
        ("http://me:sec#ret@host/v1", "http://host/v1"),
        ("http://me:sec?ret@host/v1", "http://host/v1"),
        ("http://me:12/34@host/v1", "http://host/v1"),
        ("http://me:sec\\ret@host/v1", "http://host/v1"),
        ("me:secret@host:6333", "host:6333"),
        ("//me:secret@host", "//host"),
        ("http:/me:secret@host", "host"),
        ("http://me:secret@[::1]:80/v1", "http://[::1]:80/v1"),
        ("http://host/@model/v1", "http://host/@model/v1"),
        ("http://host/v1?version=2&key=secret#secret", "http://host/v1?version=***&key=***"),
        ("http://host/v1?secret", "http://host/v1?***"),
        ("http://host/v1?mail=me@secret", "http://host/v1?mail=***"),
        ("no url", "no url"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@given(st.text(max_size=40))
def test_any_text_can_be_shown(text: str) -> None:
    assert len(shown_url(text)) <= 4 * len(text)
    url_secrets(text)
    server_of(text)


@given(st.text("ab:@/?#%\\", min_size=1, max_size=12))
def test_no_password_is_shown_whatever_is_in_it(password: str) -> None:
    assert shown_url(f"http://me:x{password}x@host/v1") == "http://host/v1"


def test_secrets_are_taken_out_of_what_others_say() -> None:
    url = "http://me:p%40ss@host/v1?key=abc"
    said = "me:p%40ss, p@ss and abc; Basic bWU6cEBzcw=="
    assert without_secrets(said, [*url_secrets(url), None, ""]) == "***, *** and ***; Basic ***"
    assert url_secrets("http://host:80/v1") == []


def test_one_server_is_one_scheme_host_and_port() -> None:
    assert same_server("https://api.example/v1", "HTTPS://me:pw@API.example:443/other?x=1")
    for other in (
        "http://api.example/v1",
        "https://api.example:8443/v1",
        "https://api.example.evil/v1",
        "https://api.example@evil/v1",
        "https://evil#@api.example/v1",
        "api.example",
        "",
    ):
        assert not same_server("https://api.example/v1", other)
    assert not same_server("no url", "no url")
    assert server_of("http://[::1]:80/v1") == "http://[::1]:80"
    assert server_of("http://host:99999/v1") is None
