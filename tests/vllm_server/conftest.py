"""Real vLLM servers on the CPU, from the environment that $UNIMOER_VLLM_ENV names.

python scripts/vllm_server.py install --env DIR makes one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from running_vllm import LIMIT, SCRIPT, StartVllm, VllmServer, running


@pytest.fixture(scope="session")
def vllm_env() -> Path:
    """The folder of vLLM's environment."""
    named = os.environ.get("UNIMOER_VLLM_ENV")
    if not named:
        pytest.skip(f"UNIMOER_VLLM_ENV is not set: {SCRIPT.name} install makes an environment")
    folder = Path(named)
    if not (folder / "bin" / "vllm").is_file():
        pytest.skip(f"UNIMOER_VLLM_ENV={named} has no vLLM: {SCRIPT.name} install puts it there")
    return folder


@pytest.fixture(scope="session")
def vllm_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny random model; its name is the model's."""
    folder = tmp_path_factory.mktemp("models") / "tiny-qwen3"
    subprocess.run([sys.executable, SCRIPT, "make-model", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def vllm_limit() -> int:
    """How many requests the shared server takes at a time."""
    return LIMIT


@pytest.fixture(scope="session")
def vllm_url(
    vllm_env: Path, vllm_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a server that all tests share; it takes LIMIT requests at a time."""
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    options = ("--max-num-queued-reqs", str(LIMIT))
    with running(vllm_env, vllm_model, log, options) as server:
        yield server.url


@pytest.fixture
def start_vllm(vllm_env: Path, vllm_model: Path, tmp_path: Path) -> Iterator[StartVllm]:
    """Starts a server of the test's own, for it to kill; takes options of `vllm serve`."""
    with ExitStack() as servers:

        def start(*options: str) -> VllmServer:
            log = tmp_path / f"server-{len(os.listdir(tmp_path))}.log"
            return servers.enter_context(running(vllm_env, vllm_model, log, options))

        yield start
