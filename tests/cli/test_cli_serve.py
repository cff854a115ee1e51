"""`unimoer-rag serve` as a process, and the commands that find it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli_helpers import Command, start

from unimoer_rag import UniMoER

QUERY = "How much is the deposit on a tent?"


@contextmanager
def served(*words: object, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running server: its address, and its process."""
    process = start("serve", "--port", 0, *words, folder=folder)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"on (http://\S+)", line)
        assert found, (line, process.stderr and process.stderr.read())
        yield found[1], process
    finally:
        process.kill()
        process.communicate()


def without_numbers(text: str) -> str:
    return re.sub(r"\d+\.\d+|\d+ ms", "N", text)


def timeless(found: Any) -> Any:
    if isinstance(found, dict):
        del found["timings_ms"]
    return found


def rounded(value: Any) -> Any:
    """JSON with numbers to compare."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return pytest.approx(value, abs=1e-2) if isinstance(value, float) else value


def asked(url: str, route: str) -> int:
    """How many requests of a route a server has answered."""
    text = httpx.get(f"{url}/metrics", trust_env=False, timeout=300).text
    found = re.search(rf'unimoer_requests_total{{method="POST",route="{route}",.*}} (\d+)', text)
    return int(found[1]) if found else 0


@pytest.mark.slow
def test_commands_ask_the_server_that_holds_the_index(
    run: Command, docs: Path, tmp_path: Path
) -> None:
    model = UniMoER.from_pretrained("unimoer-minilm")  # held: the commands share it
    index = tmp_path / "index"
    assert run("index", docs, "--index", index, "--checkpoint", "unimoer-minilm").exit_code == 0
    at = ("--index", index)
    commands = [
        ("search", QUERY, *at),
        ("search", QUERY, *at, "--json", "-k", 2, "--mode", "hybrid", "--rerank", 0),
        ("ask", QUERY, *at, "--stream"),
        ("ask", QUERY, *at, "--json", "--read", 2),
        ("ask", "Who?", *at, "--filters", '{"source": "nowhere"}'),
    ]
    alone = [run(*words) for words in commands]
    with served(*at, folder=tmp_path) as (url, process):
        by_server = [run(*words) for words in commands]
        assert (asked(url, "/v1/search"), asked(url, "/v1/ask")) == (2, 3)
        other = run("search", QUERY, *at, "--oversampling", 3, "--rerank", 0)
        assert other.exit_code == 0, other.output
        assert asked(url, "/v1/search") == 2  # its own searches are made otherwise
        failed = run("search", QUERY, *at, "-k", 0)
        assert (failed.exit_code, "k" in failed.stderr) == (1, True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    for words, one, two in zip(commands, alone, by_server, strict=True):
        assert (one.exit_code, two.exit_code) == (0, 0), two.output
        if "--json" in words:
            assert timeless(json.loads(two.stdout)) == rounded(timeless(json.loads(one.stdout)))
        else:
            assert without_numbers(two.stdout) == without_numbers(one.stdout)
        assert two.stderr == one.stderr
    assert not (index / ".server").exists()
    assert run("index", docs, *at).exit_code == 0  # nobody holds it any more
    del model


@pytest.mark.slow
def test_what_cannot_be_served(run: Command, indexed: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("short", encoding="utf-8")
    for words, word in (
        (("--index", tmp_path / "nothing"), "no index"),
        (("--index", indexed, "--host", "0.0.0.0"), "keys"),
        (("--index", indexed, "--keys-file", keys), "line 1"),
        (("--index", indexed, "--port", 70000), "UNIMOER_SERVE_PORT"),
        (("--index", indexed, "--chat-model", "a"), "--chat-url"),
        ((), "--index"),
    ):
        result = run("serve", *words)
        assert result.exit_code == 1, words
        assert word in " ".join(result.stderr.split()), result.stderr
    assert os.listdir(indexed).count(".server") == 0
