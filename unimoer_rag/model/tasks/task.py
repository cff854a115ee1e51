"""Tasks as values: what a row of a batch is for, which experts it may use, how it is read out.

A task is an argument of the forward, never a state of the model: rows of different tasks may
share one batch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from torch import nn

from unimoer_rag.errors import InputError

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

Head = Literal["vector", "late", "cross", "span", "class"]

# Fewest tokens a row may be cut to: the frame around a pair, and some words of both.
MIN_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Task:
    """One use of the backbone.

    Attributes:
        name: how the checkpoint and the command line call it.
        head: how token states become the answer. "vector": pooled and L2-normalised; "late":
            token states for late interaction; "cross": a relevance logit of a joint encoding;
            "span": start, end and no-answer scores of a joint encoding.
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
        labels: the classes that the head "class" tells apart, in the order of its outputs.
        document_first: the document comes before the query in a joint row, so that a decoder's
            states of a document serve every query (`model.prefix`). A checkpoint is trained with
            it; joint heads on decoders only.

    Raises:
        InputError: a field has a value that cannot be used.
    """

    name: str
    head: Head
    experts: tuple[str, ...]
    strength: float = 1.0
    max_tokens: int = 256
    abstain: float = 0.5
    feedback: float = 0.0
    coverage: tuple[float, float] = (0.0, 0.0)
    dimensions: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    document_first: bool = False

    def __post_init__(self) -> None:
        if self.head not in get_args(Head):
            raise InputError(
                f"task {self.name!r} has the head {self.head!r}: expected one of "
                f"{', '.join(get_args(Head))}"
            )
        if not 0 <= self.strength < float("inf"):  # NaN fails this too
            raise InputError(
                f"task {self.name!r} has the strength {self.strength}: expected a number from 0 up"
            )
        if self.max_tokens < MIN_TOKENS:
            raise InputError(
                f"task {self.name!r} keeps {self.max_tokens} tokens: expected at least {MIN_TOKENS}"
            )
        if not 0 <= self.feedback < 1 or (self.feedback and self.head != "late"):
            raise InputError(
                f"task {self.name!r} has the head {self.head!r} and the feedback {self.feedback}: "
                "expected a share from 0 to below 1, and 0 for other heads than 'late'"
            )
        begins, whole = self.coverage
        # NaN fails this too.
        graded = self.head == "late" and 0 <= begins < whole <= 1
        if self.coverage != (0.0, 0.0) and not graded:
            raise InputError(
                f"task {self.name!r} has the head {self.head!r} and the coverage {self.coverage}: "
                "expected two cosines in [0, 1], the first below the second, for the head 'late' "
                "alone, or (0, 0) to trust all"
            )
        if self.dimensions and (self.head != "vector" or min(self.dimensions) < 1):
            raise InputError(
                f"task {self.name!r} has the head {self.head!r} and the dimensions "
                f"{self.dimensions}: expected positive sizes, for the head 'vector' alone"
            )
        if not 0 <= self.abstain <= 1:
            raise InputError(
                f"task {self.name!r} abstains at {self.abstain}: expected a probability in [0, 1]"
            )
        if self.document_first and not self.joint:
            raise InputError(
                f"task {self.name!r} has the head {self.head!r} and document_first: expected it "
                "for the heads 'cross' and 'span' alone, which encode query and document together"
            )
        self._check_labels()

    def _check_labels(self) -> None:
        shown = ", ".join(map(repr, self.labels)) or "none"
        if self.head != "class":
            if self.labels:
                raise InputError(
                    f"task {self.name!r} has the head {self.head!r} and the labels {shown}: "
                    "expected labels for the head 'class' alone"
                )
            return
        if len(self.labels) < 2 or not all(label.strip() for label in self.labels):
            raise InputError(
                f"task {self.name!r} has the labels {shown}: expected at least two, none empty"
            )
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise InputError(
                f"task {self.name!r} has the label {twice[0]!r} more than once: expected each once"
            )

    @property
    def joint(self) -> bool:
        """Query and document are encoded together."""
        return self.head in ("cross", "span")

    def with_strength(self, strength: float) -> Task:
        """The same task with its experts scaled."""
        return replace(self, strength=strength)


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
