"""The command that a result keeps."""

from __future__ import annotations

import shlex
import sys

import pytest

from unimoer_rag.command_line import typed_command


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("bench auto --index '/tmp/of me/kept' --json -", "bench auto --index kept --json -"),
        ("calibrate --out=/home/me/auto.json", "calibrate --out=auto.json"),
        ("bench states --data data/nq --json benchmarks/states.json", None),
        ("eval nq --chat-url http://localhost:8000/v1", None),
        ("search 'a/b = c?' -k=3", None),
        (
            "eval nq --chat-key sk-1 --judge-key=sk-2 --seed 3",
            "eval nq --chat-key '***' '--judge-key=***' --seed 3",
        ),
        ("search x --url http://me:secret@host:6333", "search x --url http://host:6333"),
    ],
)
def test_it_tells_no_folders_of_this_machine(
    typed: str, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/unimoer-rag", *shlex.split(typed)])
    assert typed_command() == f"unimoer-rag {kept or typed}"
