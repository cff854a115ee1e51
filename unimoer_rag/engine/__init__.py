"""How the model runs fast: one queue, token-budget batches, a cache of token states."""

from __future__ import annotations

from unimoer_rag.engine.embedder import Embedder
from unimoer_rag.engine.engine import Engine, EngineStats
from unimoer_rag.engine.shared import SharedModel

__all__ = ["Embedder", "Engine", "EngineStats", "SharedModel"]
