"""Processes of a benchmark's sides: running one, and what it holds in memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from typing import Any

from unimoer_rag.errors import UnimoerError
from unimoer_rag.extras import needs_extra
from unimoer_rag.peak_memory import peak

__all__ = ["model_bytes", "model_count", "own", "peak", "resident", "run_module"]

_LOOK_EVERY = 0.05  # seconds


def run_module(module: str, part: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What a module prints as JSON in its last line, in a fresh process.

    Args:
        module: run with `python -m`.
        part: its first argument.
        settings: its second, as JSON.

    Returns:
        What it printed, and `own_peak_bytes`: the most memory of its own (`own`) that it was seen
        with, looked at from outside every twentieth of a second.

    Raises:
        UnimoerError: the process failed; its last words are in the message.
        MissingExtraError: psutil is not installed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, part, json.dumps(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )
    highest = 0
    with process:
        try:
            while True:
                highest = max(highest, own(process.pid))
                try:
                    printed, errors = process.communicate(timeout=_LOOK_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:  # an interrupt, above all
            process.kill()
            raise
    if process.returncode:
        raise UnimoerError(f"the process measuring {part!r} failed: {errors.strip()[-800:]}")
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return {**result, "own_peak_bytes": highest}


def own(pid: int | None = None) -> int:
    """Bytes of a process in main memory now that no file holds too; 0 where it has ended.

    A file that is mapped into memory counts as resident while the kernel has room for it, and costs
    nobody anything. Where the system does not tell it apart, it is counted.

    Args:
        pid: of the process; by default this one.

    Raises:
        MissingExtraError: psutil is not installed.
    """
    with needs_extra("psutil", "bench", "measuring memory"):
        import psutil
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(info.rss - getattr(info, "shared", 0))


def resident() -> int:
    """Bytes of this process in main memory now.

    Raises:
        MissingExtraError: psutil is not installed.
    """
    with needs_extra("psutil", "bench", "measuring memory"):
        import psutil
    return int(psutil.Process().memory_info().rss)


def model_bytes() -> int:
    """Bytes of every weight and buffer of every torch module alive in this process.

    Found by asking the garbage collector, not the models: a copy somebody forgot counts. Tensors
    that share storage count once.
    """
    modules = _modules()
    if not modules:
        return 0
    from unimoer_rag.evaluation import distinct_bytes  # it needs torch

    return distinct_bytes(t for m in modules for t in (*m.parameters(), *m.buffers()))


def model_count() -> int:
    """Pretrained transformers alive in this process."""
    transformers = sys.modules.get("transformers")
    if transformers is None:
        return 0
    found = [m for m in _modules() if isinstance(m, transformers.PreTrainedModel)]
    inner = {id(child) for model in found for child in model.modules() if child is not model}
    return sum(id(model) not in inner for model in found)


def _modules() -> list:  # type: ignore[type-arg]  # of torch modules; torch may not be loaded
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    gc.collect()
    # By type, not isinstance: asking some objects for their class runs their code.
    return [thing for thing in gc.get_objects() if issubclass(type(thing), torch.nn.Module)]
