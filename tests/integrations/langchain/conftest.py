from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_helpers import ASK, EXACT, HANDBOOK

from unimoer_rag.engine import Engine
from unimoer_rag.model.tasks import DEFAULT_TASKS
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever

Script = Callable[..., str]


@pytest.fixture(scope="session", autouse=True)
def live(minilm_path: Path) -> UniMoER:
    """The model that adapters with the settings EXACT share, held so that it is loaded once."""
    return UniMoER.from_pretrained("unimoer-minilm", **EXACT)


@pytest.fixture(scope="session")
def checkpoint(minilm_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint with an instruction of its own for queries, and embeddings that can be cut."""
    tasks = [
        replace(task, dimensions=(64, 128)) if task.name == "embed" else task
        for task in DEFAULT_TASKS
    ]
    model = UniMoER.from_backbone("minilm", tasks=tasks, query_instruction=ASK, **EXACT)
    return str(model.save_pretrained(tmp_path_factory.mktemp("checkpoints") / "asking"))


@pytest.fixture(scope="session")
def filled(live: UniMoER) -> Iterator[UnifiedRetriever]:
    """An index of HANDBOOK in memory; tests leave it as it is."""
    with UnifiedRetriever("unimoer-minilm", **EXACT) as retriever:
        retriever.add(HANDBOOK)
        yield retriever


@pytest.fixture
def script() -> Script:
    """Runs a program in a process of its own and gives what it prints."""

    def run(code: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], input=stdin, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


@pytest.fixture
def while_held(live: UniMoER, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Awaits coroutines whose forwards are held back until loop and threads are seen to be free."""

    async def check(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
        started, released = threading.Event(), threading.Event()
        run = live.run

        def held(rows: Any) -> Any:
            started.set()
            assert released.wait(30), "the event loop never came to let the model go on"
            return run(rows)

        monkeypatch.setattr(live, "run", held)
        Engine.of(live).cache.clear()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
        while not started.is_set():
            await asyncio.sleep(0.01)
        # The only thread would be taken by the first coroutine that waits in it.
        async with asyncio.timeout(20):
            await asyncio.to_thread(lambda: None)
        assert not any(task.done() for task in tasks)
        released.set()
        return await asyncio.gather(*tasks)

    return check
