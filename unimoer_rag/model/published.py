"""What a model's folder says of itself: how token states become its answers, and what goes before.

A folder that sentence-transformers wrote names the modules behind its transformer. They are values
here; `io.published` reads them, and the heads are built from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.published_cross import PairScoring
from unimoer_rag.model.published_late import LateInteraction

__all__ = ["Dense", "LayerNorm", "Normalize", "PoolingMode", "Published", "Step"]

PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
"""How sentence-transformers calls the ways from a text's token states to one vector."""


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A linear map with an activation: `activation(W x + b)`, and `x` or `R x` added where asked.

    Attributes:
        weight: float32 `[out, in]`.
        bias: float32 `[out]`, or none.
        activation: name of a class of `torch.nn` without arguments, such as "Tanh".
        residual: float32 `[out, in]` that maps what is added; None where nothing is mapped.
        adds: the input is added to the output, mapped where there is a `residual`.
    """

    weight: Tensor
    bias: Tensor | None
    activation: str
    residual: Tensor | None = None
    adds: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm:
    """Layer normalisation of a vector: float32 `[size]` weight and bias."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class Normalize:
    """A vector is brought to unit length."""


Step: TypeAlias = Dense | LayerNorm | Normalize


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """How a published model embeds.

    Attributes:
        pooling: ways to pool, whose vectors are laid end to end in this order; empty where the
            model gives no vector of a text.
        include_prompt: the tokens of a prompt are pooled too.
        steps: what a pooled vector goes through.
        query_prompt: goes before a query.
        document_prompt: goes before a document.
        max_tokens: longest row, special tokens included; None where nothing limits it.
        lower_case: texts are lower-cased, whatever the tokenizer does.
        cut: of a vector, the first numbers that are kept; None for all.
        dimensions: smaller sizes that an embedding may be cut to (Matryoshka).
        digest: SHA-256 over all files of the folder that an embedding depends on.
        late: how it compares texts token by token, each of whose states goes through the steps;
            None where it does not.
        cross: how it scores pairs that it reads together; None where it does not.
    """

    pooling: tuple[PoolingMode, ...] = ()
    include_prompt: bool = True
    steps: tuple[Step, ...] = ()
    query_prompt: str = ""
    document_prompt: str = ""
    max_tokens: int | None = None
    lower_case: bool = False
    cut: int | None = None
    dimensions: tuple[int, ...] = ()
    digest: str = ""
    late: LateInteraction | None = None
    cross: PairScoring | None = None

    @property
    def embeds(self) -> bool:
        """It gives a vector of a text, by pooling and steps."""
        return self.late is None and self.cross is None

    def dimension(self, width: int) -> int:
        """Size of an embedding on a backbone whose states have that width.

        Raises:
            BackboneError: a step does not take what comes before it.
        """
        size = width * max(1, len(self.pooling))
        for at, step in enumerate(self.steps):
            if isinstance(step, Normalize):
                continue
            taken = step.weight.shape[-1]
            if taken != size:
                raise BackboneError(
                    f"the {type(step).__name__} at {at} behind the pooling takes vectors of "
                    f"{taken}, and is given {size}: get the model's files again"
                )
            size = len(step.weight)
        return size if self.cut is None else min(size, self.cut)
