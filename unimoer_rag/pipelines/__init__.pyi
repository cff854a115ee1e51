from .answer import NO_ANSWER, Answer
from .build import assemble
from .config import PipelineConfig
from .generators import ReaderConfig, ServerConfig
from .rag import RagPipeline

__all__ = [
    "NO_ANSWER",
    "Answer",
    "PipelineConfig",
    "RagPipeline",
    "ReaderConfig",
    "ServerConfig",
    "assemble",
]
