from .chat_message import words_of
from .chat_server import ChatServer
from .citing import cited, uncited
from .condensing import condensing_messages, read_condensed
from .decoding import Decoder, OwnThread
from .doors import all_doors
from .extractive import ExtractiveReader, check_threshold
from .harmless import broken_tokens, one_block
from .local_llm import LocalLLM
from .other_models import LangChainWrites
from .plain_text import PlainText
from .resident import ResidentLLM
from .spoken import spoken
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
    "broken_tokens",
    "check_threshold",
    "cited",
    "condensing_messages",
    "one_block",
    "read_condensed",
    "spoken",
    "uncited",
    "words_of",
]
