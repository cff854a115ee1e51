from .cache import StateCache
from .embedder import Embedder
from .engine import Engine, EngineStats
from .shared import SharedModel
from .worker import Worker

__all__ = [
    "Embedder",
    "Engine",
    "EngineStats",
    "SharedModel",
    "StateCache",
    "Worker",
]
