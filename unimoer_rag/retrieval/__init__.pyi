from .auto_rerank import AUTO, AutoRerank, Rerank, certainty, rerank_depth, resolve, stage_scores
from .chunking import Chunker, Chunking, whole
from .coercion import Coercion, coerce_metadata
from .folding import Folded, fold
from .framework_documents import name_of, to_documents
from .holdings import Holding, Status, compare, remove
from .identity import WHOLE, ChunkingChoice
from .index_model import DEFAULT_MODEL
from .ingest import AddReport, Embedded
from .locating import Places
from .other_models import CrossEncoderRanks, LangChainEmbeds, NoVectors, SentenceEmbeds, bm25_of
from .passed_over import remedies
from .ports import Embeds, Ranks
from .problems import Problem, by_kind
from .query_cache import QueryCache
from .reranker import Ranked, Reranker, best_first, check_top_n, in_order, visible_at
from .retriever import UnifiedRetriever
from .roots import Roots
from .search import Search, check_settings
from .searcher import OnStage
from .selecting import Selection
from .settings import DECLARED, RetrieverSettings
from .sources import Corpus, scan
from .sparse import BM25Encoder, SparseVector
from .states import StoredStates
from .store.base import Found, Record, Store
from .store.edge import EdgeStore
from .store.filters import parse_filters
from .store.folder import n_bytes_used, vector_bytes
from .store.manifest import is_index
from .store.payload_mapping import PayloadMapping
from .store.quantization import Quantization, check_quantization
from .store.server import ServerStore
from .store.snapshot import Snapshot
from .store.verifying import verify_index
from .text import clean_text, legible_text
from .types import Document, Hit, Mode, Passage
from .words import check_language, language_named, tokenize

__all__ = [
    "AUTO",
    "DECLARED",
    "DEFAULT_MODEL",
    "WHOLE",
    "AddReport",
    "AutoRerank",
    "BM25Encoder",
    "Chunker",
    "Chunking",
    "ChunkingChoice",
    "Coercion",
    "Corpus",
    "CrossEncoderRanks",
    "Document",
    "EdgeStore",
    "Embedded",
    "Embeds",
    "Folded",
    "Found",
    "Hit",
    "Holding",
    "LangChainEmbeds",
    "Mode",
    "NoVectors",
    "OnStage",
    "Passage",
    "PayloadMapping",
    "Places",
    "Problem",
    "Quantization",
    "QueryCache",
    "Ranked",
    "Ranks",
    "Record",
    "Rerank",
    "Reranker",
    "RetrieverSettings",
    "Roots",
    "Search",
    "Selection",
    "SentenceEmbeds",
    "ServerStore",
    "Snapshot",
    "SparseVector",
    "Status",
    "Store",
    "StoredStates",
    "UnifiedRetriever",
    "best_first",
    "bm25_of",
    "by_kind",
    "certainty",
    "check_language",
    "check_quantization",
    "check_settings",
    "check_top_n",
    "clean_text",
    "coerce_metadata",
    "compare",
    "fold",
    "in_order",
    "is_index",
    "language_named",
    "legible_text",
    "n_bytes_used",
    "name_of",
    "parse_filters",
    "remedies",
    "remove",
    "rerank_depth",
    "resolve",
    "scan",
    "stage_scores",
    "to_documents",
    "tokenize",
    "vector_bytes",
    "verify_index",
    "visible_at",
    "whole",
]
