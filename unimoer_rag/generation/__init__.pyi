from .chat_message import words_of
from .chat_server import ChatServer
from .citing import uncited
from .condensing import condensing_messages, read_condensed
from .decoding import Decoder, OwnThread
from .doors import all_doors
from .extractive import ExtractiveReader, check_threshold
from .local_llm import LocalLLM
from .other_models import LangChainWrites
from .plain_text import PlainText
from .resident import ResidentLLM
from .types import THRESHOLD, Citation, Generation, Generator, Replies, Writes
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
    "LangChainWrites",
    "LanguageModel",
    "LocalLLM",
    "OwnThread",
    "PlainText",
    "Replies",
    "ResidentLLM",
    "VllmEngine",
    "Writer",
    "Writes",
    "all_doors",
    "check_threshold",
    "condensing_messages",
    "read_condensed",
    "uncited",
    "words_of",
]
