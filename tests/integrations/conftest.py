"""What the adapters of both frameworks are tested with: one loaded model, and calls held back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.engine import Engine
from unimoer_rag.model.unimoer import UniMoER


@pytest.fixture(scope="session", autouse=True)
def live(minilm_path: Path) -> UniMoER:
    """The model that adapters with the settings EXACT share, held so that it is loaded once."""
    return UniMoER.from_pretrained("unimoer-minilm", device="cpu", dtype="float32")


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
