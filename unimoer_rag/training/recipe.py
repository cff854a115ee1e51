"""Recipes: everything about a training run but where its data lies, as validated YAML."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator

from unimoer_rag.data import Part, SourceConfig
from unimoer_rag.errors import TrainingError
from unimoer_rag.model import (
    HEADS,
    EmbeddingHead,
    ExpertConfig,
    LateScoring,
    ModelSpec,
    TaskConfig,
    UniMoER,
    bare_backbone,
    heads_of,
    spec_of,
)
from unimoer_rag.training.losses import Routing
from unimoer_rag.training.mining.mining_settings import Mining
from unimoer_rag.training.objectives.kinds import ObjectiveConfig, among
from unimoer_rag.yaml_files import read_yaml

__all__ = [
    "Optimizer",
    "Recipe",
    "Routing",
    "Unfreezing",
    "find_recipe",
    "recipe_names",
    "skeleton_of",
]

_PRESETS = Path(__file__).parent.parent / "_presets" / "training"
_CLONE = Path(__file__).parent.parent.parent / "training"


class Unfreezing(Part):
    """Gradual unfreezing: layers begin to learn from the top down."""

    first: int = Field(default=1, ge=1, description="layers that learn from the start")
    every: int = Field(ge=1, description="steps until one more does")


class Optimizer(Part):
    """AdamW. The learning rate of an expert is its own, or `default`'s."""

    steps: int = Field(ge=1)
    learning_rate: dict[str, Annotated[float, Field(ge=0)]] = Field(
        description="by expert; also router, heads, heads.TASK and default; 0 trains nothing"
    )
    up_ratio: float = Field(default=1.0, gt=0, description="rate of B over A (LoRA+)")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps")
    final: float = Field(default=0.05, ge=0, le=1, description="share of the rate at the end")
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    token_budget: int = Field(default=4096, ge=256, description="padded tokens a forward")
    accumulate: int = Field(default=1, ge=1, description="draws of each objective a step")
    grad_cache: bool = Field(
        default=False, description="large draws in the memory of one forward (GradCache)"
    )
    conflicts: Literal["sum", "pcgrad", "cagrad"] = Field(
        default="sum", description="how the gradients of the objectives become one"
    )
    cosines_every: int = Field(
        default=0, ge=0, description="log the objectives' gradient cosines every n steps; 0: never"
    )


class Recipe(Part):
    """One training run."""

    name: str
    description: str = ""
    backbone: str
    start: str | None = Field(
        default=None, description="checkpoint whose experts, router and heads to begin from"
    )
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)  # what torch takes
    experts: dict[str, ExpertConfig] = Field(min_length=1)
    tasks: tuple[TaskConfig, ...] = Field(min_length=1)
    router: str = "per-layer"
    router_options: dict[str, int] = Field(default={})
    gate: str = "sparsegen"
    targets: tuple[str, ...] = ()
    query_instruction: str = ""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    attention: Literal["eager", "sdpa"] = "eager"
    gradient_checkpointing: bool = False
    data: dict[str, SourceConfig] = Field(
        default={}, description="data sets that are not BEIR folders of their name"
    )
    pseudo_questions: float = Field(
        default=0.0,
        ge=0,
        description="sentences of all passages beside each question, where a domain is learnt",
    )
    mining: Mining = Mining()
    objectives: dict[str, Annotated[ObjectiveConfig, Field(discriminator="kind")]] = Field(
        min_length=1
    )
    routing: Routing = Routing()
    unfreezing: Unfreezing | None = None
    optimizer: Optimizer
    save_every: int = Field(default=100, ge=1)
    validate_every: int = Field(default=500, ge=1)
    validation_questions: int = Field(default=200, ge=1, description="of each development set")

    @property
    def sources(self) -> tuple[str, ...]:
        """Every data set that some objective draws from, sorted."""
        return tuple(sorted({s for o in self.objectives.values() for s in o.sources}))

    def spec(self) -> ModelSpec:
        """What it says of its model beside the backbone."""
        return spec_of(self, self.targets)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Parts that do not fit each other, found before any data is read."""
        heads = {task.name: task.head for task in self.tasks}
        for taken in ("router", "heads", "default"):
            if taken in self.experts:
                raise ValueError(
                    f"experts.{taken}: optimizer.learning_rate has a meaning for that name, "
                    "rename it"
                )
        for task in self.tasks:
            among(task.experts, self.experts, f"tasks: {task.name} may use")
        embeds = heads_of(EmbeddingHead)
        if "embed" in heads and heads["embed"] not in embeds:
            raise ValueError(
                f"tasks: 'embed' has the head {heads['embed']!r}, expected {' or '.join(embeds)} "
                "to embed by"
            )
        for name, objective in self.objectives.items():
            among([objective.task], heads, f"objectives.{name}: trains the task")
            head, wanted = heads[objective.task], heads_of(*objective.teaches)
            if head not in wanted:
                raise ValueError(
                    f"objectives.{name}: the task {objective.task!r} has the head "
                    f"{head!r}, expected {' or '.join(wanted)} to learn by {objective.kind}"
                )
            if "/" in name:
                raise ValueError(f"objectives.{name}: its losses are called NAME/LOSS, take out /")
            losses = getattr(objective, "losses", ())
            held = [term.kind for term in losses if term.needs_frozen]
            tokens = [term.kind for term in losses if term.needs_tokens]
            late = heads_of(LateScoring)
            if tokens and head not in late:
                raise ValueError(
                    f"objectives.{name}.losses: {tokens[0]!r} compares token states, and the head "
                    f"of the task {objective.task!r} is {head}, expected {' or '.join(late)}"
                )
            if held and HEADS[head].learnt:
                raise ValueError(
                    f"objectives.{name}.losses: an untrained {head} head scores every passage "
                    f"alike, and the loss {held[0]!r} would hold it there, name other losses"
                )
        if "routing" in self.objectives:
            raise ValueError("objectives.routing: the router's own losses are called so, rename it")
        rates = self.optimizer.learning_rate
        known = {*self.experts, "router", "heads", "default", *(f"heads.{task}" for task in heads)}
        among(rates, known, "optimizer.learning_rate: for")
        if "default" not in rates or not any(rates.values()):
            raise ValueError("optimizer.learning_rate: expected a default, and a rate above 0")
        return self


def skeleton_of(recipe: Recipe) -> UniMoER:
    """The model of a recipe as it will be trained, but without a number in it.

    Raises:
        BackboneError: the backbone's configuration cannot be had.
        InputError: router, gate, targets, experts or tasks do not fit the backbone.
    """
    backbone = bare_backbone(recipe.backbone, torch.bfloat16, as_published=True)
    return UniMoER(backbone, name=recipe.backbone, spec=recipe.spec())


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with the package, sorted."""
    return tuple(sorted({p.stem for folder in (_PRESETS, _CLONE) for p in folder.glob("*.yaml")}))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long to be one
        return False


def find_recipe(name: str, *, also: Sequence[str] = ()) -> Recipe:
    """A recipe by preset name ("minilm") or by path.

    Args:
        name: of the preset, or the path.
        also: other words that may have been meant, such as commands.

    Raises:
        TrainingError: there is none of that name, or it is malformed; names the key.
    """
    candidates = [folder / f"{name}.yaml" for folder in (_PRESETS, _CLONE)]
    path = next((p for p in [Path(name), *candidates] if _is_file(p)), None)
    if path is None:
        near = get_close_matches(name, [*recipe_names(), *also], n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise TrainingError(
            f"no recipe {name!r}: expected a YAML file or one of {', '.join(recipe_names())}{meant}"
        )
    return read_yaml(path, Recipe, whole="recipe", error=TrainingError)
