"""VllmEngine where vLLM is not installed; with the real one: tests/vllm_server."""

from __future__ import annotations

import importlib.util

import pytest

from unimoer_rag.errors import MissingExtraError
from unimoer_rag.generation.vllm_engine import VllmEngine


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_extra_is_named() -> None:
    with pytest.raises(MissingExtraError, match=r"in process needs .*unimoer-rag\[vllm\]"):
        VllmEngine("Qwen/Qwen3-0.6B")
