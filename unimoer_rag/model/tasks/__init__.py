"""Tasks, and the heads that answer them. One file a head; `HEADS` names them."""

from unimoer_rag.model.tasks.classes import ClassHead
from unimoer_rag.model.tasks.cross import CrossHead
from unimoer_rag.model.tasks.head import Head
from unimoer_rag.model.tasks.pooling import pool
from unimoer_rag.model.tasks.registry import HEADS
from unimoer_rag.model.tasks.span import MAX_ANSWER_TOKENS, SpanHead, SpanScores, span_logits
from unimoer_rag.model.tasks.task import (
    DEFAULT_TASKS,
    EMBED,
    MIN_TOKENS,
    READ,
    RERANK,
    RERANK_CROSS,
    Task,
    check_name,
)

__all__ = [
    "DEFAULT_TASKS",
    "EMBED",
    "HEADS",
    "MAX_ANSWER_TOKENS",
    "MIN_TOKENS",
    "READ",
    "RERANK",
    "RERANK_CROSS",
    "ClassHead",
    "CrossHead",
    "Head",
    "SpanHead",
    "SpanScores",
    "Task",
    "check_name",
    "pool",
    "span_logits",
]
