"""Tasks as values: what a row of a batch is for, which experts it may use, how it is read out.

A task is an argument of the forward, never a state of the model: rows of different tasks may
share one batch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from torch import nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks.head import Head
from unimoer_rag.model.tasks.registry import HEADS

__all__ = [
    "DEFAULT_TASKS",
    "EMBED",
    "MIN_TOKENS",
    "READ",
    "RERANK",
    "RERANK_CROSS",
    "Task",
    "check_name",
]

# Fewest tokens a row may be cut to: the frame around a pair, and some words of both.
MIN_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Task:
    """One use of the backbone.

    Attributes:
        name: how the checkpoint and the command line call it.
        head: how token states become the answer, a key of `HEADS`. "vector": pooled and
            L2-normalised; "late": token states for late interaction; "cross": a relevance logit of
            a joint encoding; "span": start, end and no-answer scores of a joint encoding; "class":
            a logit a label; "maxsim", "token-mean" and "cross-encoder": as the backbone was
            published, a late-interaction model or a cross-encoder.
        experts: the experts its rows may use; adding others later changes nothing here.
        strength: factor on the experts' output, chosen on development sets; 0 is the frozen
            backbone.
        max_tokens: rows are truncated to this length, special tokens included; at least 16.
        abstain: a reader asked about one passage gives no answer where "no answer" is at least
            this probable against the best span (`Reading.doubt`); chosen on development
            questions.
        dimensions: sizes below the full one that an embedding may be cut to, where the checkpoint
            was trained for it (Matryoshka representation learning, arXiv 2205.13147).
        feedback: share of pseudo-relevance feedback in a reranking (`LateHead.rank`), from 0
            (every pair for itself) to below 1; late interaction only.
        coverage: how well a document must cover the query to be trusted in that feedback: where
            its word begins to count and where it counts in full, as cosines of token states in
            [0, 1]; (0, 0) trusts all (`LateHead.rank`).
        contrast: how much a document loses in that feedback by likeness to the worst ones.
        labels: the classes that the head "class" tells apart, in the order of its outputs.
        document_first: the document comes before the query in a joint row, so that a decoder's
            states of a document serve every query (`model.prefix`). A checkpoint is trained with
            it; joint heads on decoders only.
        queries_only: the experts read queries alone. Documents are encoded by the frozen backbone,
            so that what is kept of them stays true whatever the experts learn; heads that encode
            the two apart only.

    Raises:
        InputError: a field has a value that cannot be used.
    """

    name: str
    head: str
    experts: tuple[str, ...]
    strength: float = 1.0
    max_tokens: int = 256
    abstain: float = 0.5
    feedback: float = 0.0
    coverage: tuple[float, float] = (0.0, 0.0)
    contrast: float = 0.0
    dimensions: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    document_first: bool = False
    queries_only: bool = False

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise InputError(
                f"task {self.name!r} has the head {self.head!r}: expected one of {', '.join(HEADS)}"
            )
        if not 0 <= self.strength < float("inf"):  # NaN fails this too
            raise InputError(
                f"task {self.name!r} has the strength {self.strength}: expected a number from 0 up"
            )
        if self.max_tokens < MIN_TOKENS:
            raise InputError(
                f"task {self.name!r} keeps {self.max_tokens} tokens: expected at least {MIN_TOKENS}"
            )
        if not 0 <= self.abstain <= 1:
            raise InputError(
                f"task {self.name!r} abstains at {self.abstain}: expected a probability in [0, 1]"
            )
        self._check_settings()
        self.head_type.check(self)

    def _check_settings(self) -> None:
        """Refuse settings that other heads take."""
        for field in fields(self):
            takers = [name for name, head in HEADS.items() if field.name in head.settings]
            value = getattr(self, field.name)
            if takers and self.head not in takers and value != field.default:
                shown = field.name if value is True else f"the {field.name} {value}"
                raise InputError(
                    f"task {self.name!r} has the head {self.head!r} and {shown}: expected "
                    f"{field.name} for the head {' or '.join(map(repr, takers))} alone"
                )

    @property
    def head_type(self) -> type[Head]:
        """The head's class, which tells what its tasks are like."""
        return HEADS[self.head]

    @property
    def joint(self) -> bool:
        """Query and document are encoded together."""
        return self.head_type.joint

    def with_strength(self, strength: float) -> Task:
        """The same task with its experts scaled."""
        return replace(self, strength=strength)

    def on(self, side: str) -> Task:
        """The task as it is for rows of a side, "query" or "document"."""
        return self.with_strength(0.0) if self.queries_only and side == "document" else self


EMBED = Task("embed", "vector", ("embed", "shared"))
RERANK = Task("rerank", "late", ("rerank", "shared"))
RERANK_CROSS = Task("rerank-cross", "cross", ("rerank", "shared"), max_tokens=512)
READ = Task("read", "span", ("read", "shared"), max_tokens=512)

DEFAULT_TASKS: tuple[Task, ...] = (EMBED, RERANK, RERANK_CROSS, READ)


def check_name(name: str, what: str) -> None:
    """Refuse a name of a task or an expert that tensors could not be stored under.

    Raises:
        InputError: it has other characters than letters, digits, `-` and `_`, or is an attribute
            of the module that holds the tensors.
    """
    # Of instances: "training" is no attribute of the class.
    taken = hasattr(nn.ModuleDict(), name) or hasattr(nn.ParameterDict(), name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or taken:
        raise InputError(
            f"{name!r} cannot be the name of {what}: expected letters, digits, '-' and '_', and no "
            "attribute of torch modules (such as 'update' or 'training')"
        )
