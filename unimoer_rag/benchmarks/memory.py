"""What one shared model saves: memory of our embedding and reranker against the usual pair.

Each side runs in a fresh process (`sharing_process`): ours holds the embedding and the reranker of
LlamaIndex and those of LangChain; the pair is a sentence-transformers embedder and a cross-encoder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from unimoer_rag.errors import UnimoerError
from unimoer_rag.extras import needs_extra

__all__ = ["measure_sharing", "run_side"]

_PACKAGES = ("unimoer-rag", "torch", "transformers", "sentence-transformers")
_FRAMEWORKS = ("llama-index-core", "langchain-core")


def measure_sharing(
    checkpoint: str = "unimoer-minilm",
    *,
    dtype: str = "float32",
    embedder: str | None = None,
    cross_encoder: str | None = None,
    on_side: Callable[[str], None] = lambda side: None,
) -> dict[str, Any]:
    """Measure both sides.

    Args:
        checkpoint: our model.
        dtype: of the weights on both sides; "auto" for what each library takes by itself.
        embedder: a sentence-transformers model; by default the backbone of `checkpoint`.
        cross_encoder: a cross-encoder; by default one with the backbone's architecture and random
            weights, which take the memory of any others.
        on_side: called with the name of each side before it runs.

    Returns:
        `ratio`: our model bytes over the pair's; `process_ratio`: resident memory in use of the
        whole process over that of the pair's; and all measurements of either side.

    Raises:
        MissingExtraError: a package of the extra `bench` is not installed.
        UnimoerError: a side failed; its last words are in the message.
    """
    _check_installed()
    with tempfile.TemporaryDirectory() as scratch:
        backbone = _backbone(checkpoint)
        settings = {
            "checkpoint": checkpoint,
            "dtype": dtype,
            "embedder": embedder or str(backbone),
            "cross_encoder": cross_encoder or str(_random_cross_encoder(backbone, Path(scratch))),
        }
        sides = {}
        for side in ("ours", "pair"):
            on_side(side)
            sides[side] = run_side(side, settings)
    ours, pair = sides["ours"], sides["pair"]
    return {
        "benchmark": "sharing",
        "ratio": round(ours["model_bytes"] / pair["model_bytes"], 4),
        "process_ratio": round(ours["resident_in_use"] / pair["resident_in_use"], 4),
        "checkpoint": checkpoint,
        "dtype": dtype,
        "embedder": embedder or f"the backbone of {checkpoint}",
        "cross_encoder": cross_encoder or "random weights, the backbone's architecture",
        **sides,
        "versions": {name: metadata.version(name) for name in (*_PACKAGES, *_FRAMEWORKS)},
    }


def _check_installed() -> None:
    with needs_extra("sentence_transformers", "bench", "the sharing benchmark"):
        import sentence_transformers  # noqa: F401
    with needs_extra("llama_index.core", "bench", "the sharing benchmark"):
        import llama_index.core  # noqa: F401
    with needs_extra("langchain_core", "bench", "the sharing benchmark"):
        import langchain_core  # noqa: F401
    with needs_extra("psutil", "bench", "the sharing benchmark"):
        import psutil  # noqa: F401


def _backbone(checkpoint: str) -> Path:
    from unimoer_rag.model.unimoer import UniMoER

    return UniMoER.from_pretrained(checkpoint, device="cpu").path


def _random_cross_encoder(backbone: Path, folder: Path) -> Path:
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config = AutoConfig.from_pretrained(str(backbone), num_labels=1)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(str(backbone)).save_pretrained(str(folder))
    return folder


def run_side(side: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What one side takes, measured in a fresh process.

    Args:
        side: "ours" or "pair".
        settings: checkpoint, embedder, cross_encoder and dtype.

    Raises:
        UnimoerError: the process failed; its last words are in the message.
    """
    command = [sys.executable, "-m", "unimoer_rag.benchmarks.sharing_process"]
    done = subprocess.run(
        [*command, side, json.dumps(settings)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )
    if done.returncode:
        raise UnimoerError(f"the process measuring {side!r} failed: {done.stderr.strip()[-800:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
