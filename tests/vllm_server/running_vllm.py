"""A vLLM server in processes of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

__all__ = [
    "LIMIT",
    "LONG",
    "SCRIPT",
    "WITHOUT_END",
    "StartVllm",
    "VllmServer",
    "becomes_idle",
    "in_flight",
    "running",
    "tokens_made",
]

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "vllm_server.py"
START_SECONDS = 300
LIMIT = 8  # requests at a time; vLLM's own default is none
LONG = 6000  # tokens, many seconds' work: what happens meanwhile happens in mid-answer
# No word ends such an answer early, and the HTTP side has time left for other requests.
WITHOUT_END = {"ignore_eos": True, "stream_interval": 50}


@dataclass(frozen=True, slots=True)
class VllmServer:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End all of its processes at once, without a goodbye."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_engine(self) -> None:
        """End the process that computes; the one that answers requests is left."""
        children = psutil.Process(self.process.pid).children()
        engine = next(child for child in children if "EngineCore" in " ".join(child.cmdline()))
        engine.kill()


StartVllm = Callable[..., VllmServer]


@contextmanager
def running(env: Path, model: Path, log: Path, options: tuple[str, ...]) -> Iterator[VllmServer]:
    """A server that answers, until the end of the block."""
    port = free_port()
    command = [sys.executable, SCRIPT, "serve", "--env", env, "--model", model]
    command += ["--port", str(port), "--", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that the engine's processes end with it
        )
    server = VllmServer(f"http://127.0.0.1:{port}/v1", process)
    try:
        wait_for(server, log)
        yield server
    finally:
        server.kill()


def wait_for(server: VllmServer, log: Path) -> None:
    """Return when the server answers; fail the test, with its log, where it never does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            # One that asks for a key is there, too.
            if httpx.get(f"{server.url}/models", timeout=5).status_code < 500:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    tail = log.read_text(errors="replace")[-4000:]
    pytest.fail(f"vLLM did not start within {START_SECONDS} s or ended:\n{tail}", pytrace=False)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def in_flight(url: str) -> int:
    """How many requests the engine has, by its own count."""
    return metric(url, "vllm:num_requests_running{", "vllm:num_requests_waiting{")


def tokens_made(url: str) -> int:
    """How many tokens the engine has written since it started."""
    return metric(url, "vllm:generation_tokens_total{")


def metric(url: str, *names: str) -> int:
    """The sum of the metrics whose lines begin so."""
    lines = httpx.get(f"{url.removesuffix('/v1')}/metrics", timeout=60).text.splitlines()
    return round(sum(float(line.split()[-1]) for line in lines if line.startswith(names)))


def becomes_idle(url: str, seconds: float = 20) -> bool:
    """Whether nothing is in flight within this time."""
    deadline = time.monotonic() + seconds
    while in_flight(url):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
