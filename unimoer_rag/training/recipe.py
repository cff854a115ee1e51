"""Recipes: everything about a training run but where its data lies, as validated YAML."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unimoer_rag.errors import TrainingError
from unimoer_rag.model.config import ExpertConfig, TaskConfig
from unimoer_rag.yaml_files import read_yaml

__all__ = ["Embedding", "Mining", "Optimizer", "Ranking", "Reading", "Recipe", "find_recipe"]

_PRESETS = Path(__file__).parent.parent / "_presets" / "training"
_CLONE = Path(__file__).parent.parent.parent / "training"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Mining(_Part):
    """Where hard negatives come from: the frozen backbone's own top results."""

    sources: tuple[str, ...]
    passages: int = Field(default=8000, ge=100, description="passages of each source searched")
    questions: int = Field(default=6000, ge=10, description="questions of each source mined for")
    depth: int = Field(default=30, ge=1, description="results kept for each question")
    ceiling: float = Field(
        default=0.95, gt=0, description="drop negatives above this share of the positive's cosine"
    )


class Embedding(_Part):
    """The contrastive objective of the EMBED task."""

    queries: int = Field(ge=0, description="queries at a time, all of one source")
    every: int = Field(default=1, ge=1, description="drawn at every n-th step")
    negatives: int = Field(default=1, ge=0, description="mined negatives a query")
    temperature: float = 0.05
    weight: float = 1.0
    anchor: float = Field(default=2.0, description="weight of the KL to the frozen similarities")
    anchor_temperature: float = 2.0


class Ranking(_Part):
    """The ranking objective of the RERANK task."""

    groups: int = Field(ge=0, description="queries at a time, each with its own group")
    every: int = Field(default=1, ge=1, description="drawn at every n-th step")
    negatives: int = Field(default=7, ge=1)
    weight: float = 0.5
    binary: float = Field(default=0.1, description="weight of binary cross entropy")
    anchor: float = 2.0
    anchor_temperature: float = 2.0


class Reading(_Part):
    """The span objective of the READ task."""

    sources: tuple[str, ...]
    examples: int = Field(ge=0, description="question-passage pairs a step")
    unanswerable: float = Field(default=0.3, ge=0, le=1)
    crop: float = Field(default=0.6, ge=0, le=1)
    crop_words: int = Field(default=80, ge=10)
    weight: float = 1.0


class Optimizer(_Part):
    """AdamW. The learning rate of an expert is its own, or `default`'s."""

    steps: int = Field(ge=1)
    learning_rate: dict[str, Annotated[float, Field(ge=0)]] = Field(
        description="by expert; also router, heads and default; 0 trains nothing"
    )
    up_ratio: float = Field(default=1.0, gt=0, description="rate of B over A (LoRA+)")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps")
    final: float = Field(default=0.05, ge=0, le=1, description="share of the rate at the end")
    weight_decay: float = 0.0
    clip: float = Field(default=1.0, gt=0)
    token_budget: int = Field(default=4096, ge=256, description="padded tokens a forward")


class Recipe(_Part):
    """One training run."""

    name: str
    backbone: str
    start: str | None = Field(
        default=None, description="checkpoint whose experts, router and heads to begin from"
    )
    seed: int = 0
    experts: dict[str, ExpertConfig]
    tasks: tuple[TaskConfig, ...]
    router: str = "per-layer"
    gate: str = "sparsegen"
    targets: tuple[str, ...] = ()
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    attention: Literal["eager", "sdpa"] = "eager"
    balance: float = Field(default=0.01, ge=0, description="weight of the load-balance loss")
    mining: Mining
    embedding: Embedding
    ranking: Ranking
    reading: Reading
    optimizer: Optimizer
    save_every: int = Field(default=100, ge=1)
    validate_every: int = Field(default=500, ge=1)
    validation_questions: int = Field(default=200, ge=1, description="of each development set")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Parts that do not fit each other, found before any data is read."""
        for task in self.tasks:
            _among(task.experts, self.experts, f"tasks: {task.name} may use")
        rates = self.optimizer.learning_rate
        _among(rates, {*self.experts, "router", "heads", "default"}, "optimizer.learning_rate: for")
        if "default" not in rates or not any(rates.values()):
            raise ValueError("optimizer.learning_rate: expected a default, and a rate above 0")
        draws = {
            "reading": self.reading.examples and "read",
            "ranking": self.ranking.groups and "rerank",
            "embedding": self.embedding.queries and "embed",
        }
        if not any(draws.values()):
            raise ValueError(
                "nothing to train: expected reading.examples, ranking.groups or embedding.queries "
                "above 0"
            )
        names = [task.name for task in self.tasks]
        for part, task_name in draws.items():
            _among([task_name] if task_name else [], names, f"{part}: trains the task")
        if not self.reading.sources and draws["reading"]:
            raise ValueError("reading.sources: expected at least one data set")
        if not self.mining.sources and (draws["ranking"] or draws["embedding"]):
            raise ValueError("mining.sources: expected at least one data set")
        return self


def _among(names: Iterable[str], known: Collection[str], what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{what} {unknown[0]!r}, expected one of {', '.join(sorted(known))}")


def find_recipe(name: str) -> Recipe:
    """A recipe by preset name ("minilm") or by path.

    Raises:
        TrainingError: there is none of that name, or it is malformed; names the key.
    """
    candidates = [folder / f"{name}.yaml" for folder in (_PRESETS, _CLONE)]
    path = next((p for p in [Path(name), *candidates] if p.is_file()), None)
    if path is None:
        known = {p.stem for folder in (_PRESETS, _CLONE) for p in folder.glob("*.yaml")}
        raise TrainingError(
            f"no recipe {name!r}: expected a YAML file or one of {', '.join(sorted(known))}"
        )
    return read_yaml(path, Recipe, whole="recipe", error=TrainingError)
