"""What objectives and their losses are called in a recipe, validated.

A loss is a term of an objective's sum, chosen by its `kind`; an objective says what one task learns
from, and is chosen by its `kind` too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from unimoer_rag.data import Part

__all__ = [
    "Anchor",
    "Bce",
    "Classification",
    "Contrastive",
    "ContrastiveTerm",
    "Cprd",
    "GroupTerm",
    "InfoNce",
    "Kl",
    "Lambda",
    "Lce",
    "MarginMse",
    "ObjectiveConfig",
    "RankNet",
    "Ranking",
    "Reading",
    "among",
]


def among(names: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuse a name that is not known.

    Raises:
        ValueError: for the first such name; names those that are known.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{what} {unknown[0]!r}, expected one of {', '.join(sorted(known))}")


# -- losses: what a term of a group (a query with its passages) is, by `kind` ---------------


class _Term(Part):
    weight: float = Field(default=1.0, gt=0, description="of this term in the objective's sum")


class Lce(_Term):
    """Softmax cross entropy of the positive among its group."""

    kind: Literal["lce"] = "lce"


class Bce(_Term):
    """Binary cross entropy, positive and negatives weighing the same in sum."""

    kind: Literal["bce"] = "bce"


class RankNet(_Term):
    """Pairwise logistic loss; on the teacher's order where the group has scores."""

    kind: Literal["ranknet"] = "ranknet"
    temperature: float = Field(default=1.0, gt=0, description="divides the logits")


class Lambda(_Term):
    """LambdaLoss: pairs weighted by what swapping them would change in nDCG."""

    kind: Literal["lambda"] = "lambda"
    sigma: float = Field(default=1.0, gt=0)
    top: int | None = Field(default=None, ge=1)


class MarginMse(_Term):
    """Squared difference of the margins to the positive; needs a teacher's scores."""

    kind: Literal["margin-mse"] = "margin-mse"


class Kl(_Term):
    """KL divergence from the teacher's distribution over the group; needs its scores."""

    kind: Literal["kl"] = "kl"
    temperature: float = Field(default=2.0, gt=0)


class Cprd(_Term):
    """The teacher's order among the valid hard negatives alone; needs its scores."""

    kind: Literal["cprd"] = "cprd"
    threshold: float | None = Field(
        default=None, description="a negative is valid from this score of the teacher on"
    )


class Anchor(_Term):
    """KL divergence from the frozen backbone's own scores."""

    kind: Literal["anchor"] = "anchor"
    temperature: float = Field(default=2.0, gt=0)


class InfoNce(_Term):
    """Contrastive cross entropy over the batch, with the extra terms of Qwen3-Embedding."""

    kind: Literal["info-nce"] = "info-nce"
    query_query: bool = Field(default=False, description="other queries are negatives too")
    document_document: bool = Field(
        default=False, description="other documents are negatives of the positive too"
    )
    margin: float | None = Field(
        default=None, description="drop negatives above the positive's cosine and this much"
    )


GroupTerm = Annotated[
    Lce | Bce | RankNet | Lambda | MarginMse | Kl | Cprd | Anchor, Field(discriminator="kind")
]
ContrastiveTerm = Annotated[InfoNce | MarginMse | Kl | Anchor, Field(discriminator="kind")]


# -- objectives: what a task learns from, by `kind` -----------------------------------------


class _Objective(Part):
    task: str = Field(description="the task that learns")
    sources: tuple[str, ...] = Field(min_length=1, description="data sets it draws from")
    size: int = Field(ge=1, description="queries, groups or examples of a draw")
    every: int = Field(default=1, ge=1, description="draws at every n-th step")
    proportions: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="share of the draws by data set; without, by size"
    )
    sampling_temperature: float = Field(
        default=1.0, gt=0, description="data sets are drawn by size ** (1 / this)"
    )
    group_lengths: bool = Field(default=False, description="draw texts of similar length together")

    @model_validator(mode="after")
    def _known_shares(self) -> Self:
        among(self.proportions, self.sources, "proportions: for")
        if self.proportions and len(self.proportions) < len(self.sources):
            missing = sorted(set(self.sources) - set(self.proportions))
            raise ValueError(f"proportions: expected a share for {', '.join(missing)} too")
        if self.proportions and self.sampling_temperature != 1:
            raise ValueError(
                "sampling_temperature: acts on sizes, not on proportions, leave one of them out"
            )
        return self


class Contrastive(_Objective):
    """Embeddings by contrast: queries of one data set, in-batch and mined negatives."""

    kind: Literal["contrastive"] = "contrastive"
    negatives: int = Field(default=1, ge=0, description="mined negatives a query")
    temperature: float = Field(default=0.05, gt=0, description="divides every cosine")
    losses: tuple[ContrastiveTerm, ...] = Field(
        default=(InfoNce(weight=0.2), Anchor(weight=2.0)), min_length=1
    )
    dimensions: dict[int, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Matryoshka: weight of the contrast at each smaller size"
    )

    @model_validator(mode="after")
    def _cut_contrast(self) -> Self:
        if any(size < 1 for size in self.dimensions):
            raise ValueError(f"dimensions: {min(self.dimensions)}, expected sizes from 1 on")
        if self.dimensions and not any(isinstance(term, InfoNce) for term in self.losses):
            raise ValueError("dimensions: act on the loss info-nce, add it or leave them out")
        return self


class Ranking(_Objective):
    """Groups of one positive and mined negatives, scored by the task's head."""

    kind: Literal["ranking"] = "ranking"
    negatives: int = Field(default=7, ge=1)
    losses: tuple[GroupTerm, ...] = Field(
        default=(Lce(weight=0.5), Bce(weight=0.1), Anchor(weight=2.0)), min_length=1
    )


class Reading(_Objective):
    """Answer spans, with pairs made unanswerable."""

    kind: Literal["reading"] = "reading"
    unanswerable: float = Field(default=0.3, ge=0, le=1)
    crop: float = Field(default=0.6, ge=0, le=1)
    crop_words: int = Field(default=80, ge=10)
    weight: float = Field(default=1.0, gt=0)


class Classification(_Objective):
    """Labels of texts, or of pairs of texts."""

    kind: Literal["classification"] = "classification"
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    weight: float = Field(default=1.0, gt=0)


ObjectiveConfig = Contrastive | Ranking | Reading | Classification
