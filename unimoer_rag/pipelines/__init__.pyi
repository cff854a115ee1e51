from .answer import NO_ANSWER, Answer
from .build import assemble
from .config import PipelineConfig
from .generators import ReaderConfig, ServerConfig
from .history import History
from .rag import RagPipeline

__all__ = [
    "NO_ANSWER",
    "Answer",
    "History",
    "PipelineConfig",
    "RagPipeline",
    "ReaderConfig",
    "ServerConfig",
    "assemble",
]
