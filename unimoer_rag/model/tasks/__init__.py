"""Tasks, and the heads that answer them: what each is, and the jobs that users ask for."""

from unimoer_rag.model.tasks.task import (
    DEFAULT_TASKS,
    EMBED,
    MIN_TOKENS,
    READ,
    RERANK,
    RERANK_CROSS,
    Head,
    Task,
    check_name,
)

__all__ = [
    "DEFAULT_TASKS",
    "EMBED",
    "MIN_TOKENS",
    "READ",
    "RERANK",
    "RERANK_CROSS",
    "Head",
    "Task",
    "check_name",
]
