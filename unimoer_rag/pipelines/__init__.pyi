from .answer import NO_ANSWER, Answer
from .build import assemble
from .config import PipelineConfig
from .generators import ReaderConfig, ServerConfig
from .history import History
from .rag import RagPipeline
from .rerankers import RerankerConfig

__all__ = [
    "NO_ANSWER",
    "Answer",
    "History",
    "PipelineConfig",
    "RagPipeline",
    "ReaderConfig",
    "RerankerConfig",
    "ServerConfig",
    "assemble",
]
