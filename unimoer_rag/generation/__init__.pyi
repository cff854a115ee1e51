from .chat_server import ChatServer
from .citing import uncited
from .decoding import Decoder, OwnThread
from .extractive import ExtractiveReader, check_threshold
from .local_llm import LocalLLM
from .resident import ResidentLLM
from .types import THRESHOLD, Citation, Generation, Generator
from .vllm_engine import VllmEngine
from .writer import LanguageModel, Writer

__all__ = [
    "THRESHOLD",
    "ChatServer",
    "Citation",
    "Decoder",
    "ExtractiveReader",
    "Generation",
    "Generator",
    "LanguageModel",
    "LocalLLM",
    "OwnThread",
    "ResidentLLM",
    "VllmEngine",
    "Writer",
    "check_threshold",
    "uncited",
]
