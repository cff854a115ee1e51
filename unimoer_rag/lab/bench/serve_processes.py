"""Starting and ending the servers of `bench serve`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from unimoer_rag.errors import UnimoerError

__all__ = ["Server", "infinity", "side"]

_STARTING = 300.0  # seconds
_SIDE = "unimoer_rag.lab.bench.serve_side"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that takes requests.

    Attributes:
        url: its address.
        pid: of its process.
        embedder: what requests call the model that embeds.
        reranker: what they call the one that reranks.
    """

    url: str
    pid: int
    embedder: str
    reranker: str

    def name_of(self, part: str) -> str:
        """What requests call the model that does a part: "embed" or "rerank"."""
        return self.embedder if part == "embed" else self.reranker


@contextmanager
def side(part: str, model: str, **settings: Any) -> Iterator[Server]:
    """One of the servers of `serve_side`, while a block runs.

    Args:
        part: "ours" or "plain".
        model: its name in requests.
        settings: see there.
    """
    command = [sys.executable, "-m", _SIDE, part, json.dumps(settings)]
    with _process(part, command) as (process, log):
        url = _said(part, process, log)
        _wait(part, process, log, url)
        yield Server(url, process.pid, model, model)


@contextmanager
def infinity(env: Path, embedder: Path, cross_encoder: Path) -> Iterator[Server]:
    """The server of infinity-emb, while a block runs.

    Args:
        env: a virtual environment with `infinity-emb[torch,server]`.
        embedder: folder of a model of sentence-transformers.
        cross_encoder: folder of one.

    Raises:
        UnimoerError: there is none, or it does not start.
    """
    program = env / "bin" / "infinity_emb"
    if not program.is_file():
        raise UnimoerError(
            f"{env} has no bin/infinity_emb: make the environment by python -m venv {env.name} and "
            "its pip install torch==2.13.0 'infinity-emb[torch,server]==0.0.78'"
        )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(program), "v2", "--engine", "torch", "--device", "cpu"]
    command += ["--no-bettertransformer", "--url-prefix", "/v1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    for folder, name in ((embedder, "embedder"), (cross_encoder, "reranker")):
        command += ["--model-id", str(folder), "--served-model-name", name]
    with _process("infinity", command) as (process, log):
        url = f"http://127.0.0.1:{port}"
        _wait("infinity", process, log, url)
        yield Server(url, process.pid, "embedder", "reranker")


@contextmanager
def _process(what: str, command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / f"{what}.log"
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "DO_NOT_TRACK": "1"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _said(what: str, process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that a server tells in a line of its own."""
    deadline = time.monotonic() + _STARTING
    while process.poll() is None and time.monotonic() < deadline:
        for line in log.read_text("utf-8", "replace").splitlines():
            if line.startswith("http://"):
                return line.strip()
        time.sleep(0.1)
    raise _unstarted(what, log)


def _wait(what: str, process: subprocess.Popen[bytes], log: Path, url: str) -> None:
    """Return once it answers, whatever it answers."""
    deadline = time.monotonic() + _STARTING
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/openapi.json", timeout=5, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    raise _unstarted(what, log)


def _unstarted(what: str, log: Path) -> UnimoerError:
    said = log.read_text("utf-8", "replace").strip()[-800:]
    return UnimoerError(f"the server of {what} did not start: {said}")
