"""Studies as validated YAML: which variants of one recipe are compared, by what, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from unimoer_rag.data import Part
from unimoer_rag.errors import TrainingError
from unimoer_rag.training import Recipe, among
from unimoer_rag.yaml_files import read_yaml

__all__ = [
    "Base",
    "Comparison",
    "DevSet",
    "Family",
    "Study",
    "Variant",
    "find_base",
    "find_study",
    "merged",
    "study_names",
]

_PRESETS = Path(__file__).parents[2] / "_presets" / "training" / "studies"
_CLONE = Path(__file__).parents[3] / "training" / "studies"
_BASE = "base"


class DevSet(Part):
    """How one development set is measured: small enough for every run."""

    split: str = "dev"
    questions: int = Field(default=80, ge=2)
    held_out: bool = Field(
        default=False, description="of a tenth of the questions, which no run is trained on"
    )
    passages: int | None = Field(
        default=None, ge=2, description="that candidates are taken from at most, the likeliest"
    )
    run: str | None = Field(
        default=None, description="TREC run in its folder, in place of BM25 over its corpus"
    )
    depth: int = Field(default=10, ge=1, description="candidates of a question")


class Base(Part):
    """What all studies begin from."""

    recipe: dict[str, Any]
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    development: dict[str, DevSet] = Field(min_length=1)


class Variant(Part):
    """One way to train, as what differs from the study's recipe."""

    about: str = ""
    changes: dict[str, Any] = Field(
        default={}, description="laid over the recipe: mappings merge, null removes a key"
    )
    trained: bool = Field(default=True, description="false: the model before its first step")
    layers: int | None = Field(
        default=None, ge=1, description="cut the backbone after so many transformer layers"
    )
    measures: tuple[str, ...] = Field(
        default=("embed", "rerank"), description="the tasks that it has learnt to do"
    )


Family = Literal["gate", "main", "second"]


class Comparison(Part):
    """Two variants set side by side: the second minus the first.

    p-values are corrected within a family. What "gate" compares must be higher, or the study has
    not tested what the others compare of the same task.
    """

    first: str
    second: str
    measures: tuple[str, ...] = ("embed", "rerank")
    family: Family = "main"


class Study(Part):
    """One study."""

    name: str
    title: str
    question: str
    base: str = Field(default=_BASE, description="what it begins from, by name or path")
    changes: dict[str, Any] = Field(default={}, description="laid over the base's recipe")
    variants: dict[str, Variant] = Field(min_length=1)
    comparisons: tuple[Comparison, ...] = ()
    analyses: dict[str, tuple[str, ...]] = Field(
        default={}, description="analysis -> the variants whose checkpoints it looks into"
    )
    equal_parameters: float | None = Field(
        default=0.01,
        ge=0,
        description="largest share by which the experts' parameters may differ; null: they may",
    )
    margin: float | None = Field(
        default=None, gt=0, description="share of a score below which a difference does not matter"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for comparison in self.comparisons:
            among((comparison.first, comparison.second), self.variants, "comparisons: the variant")
        for name, looked_into in self.analyses.items():
            among(looked_into, self.variants, f"analyses.{name}: the variant")
        return self

    def recipe(self, base: Base, variant: str, *, seed: int) -> Recipe:
        """The whole recipe of one run.

        Raises:
            TrainingError: the changes make no recipe; names the variant and the key.
        """
        changed = merged(base.recipe, self.changes, self.variants[variant].changes)
        try:
            return Recipe.model_validate({**changed, "name": "study", "seed": seed})
        except ValidationError as problem:
            first = problem.errors()[0]
            where = ".".join(map(str, first["loc"])) or "recipe"
            raise TrainingError(
                f"study {self.name!r}, variant {variant!r}: {where}: {first['msg']}"
            ) from problem


def merged(base: Mapping[str, Any], *changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes laid over a mapping, later ones last: mappings merge, None removes a key.

    Example:
        >>> merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": None})
        {'a': {'b': 4, 'c': 2}}
    """
    whole = dict(base)
    for change in changes:
        for key, value in change.items():
            if value is None:
                whole.pop(key, None)
            elif isinstance(value, Mapping) and isinstance(whole.get(key), Mapping):
                whole[key] = merged(whole[key], value)
            else:
                whole[key] = value
    return whole


def study_names() -> tuple[str, ...]:
    """The names of the studies that come with the package, in their order."""
    paths = {p.stem: p for folder in (_CLONE, _PRESETS) for p in folder.glob("*.yaml")}
    names = [name for name in paths if not name.startswith(_BASE)]
    return tuple(sorted(names, key=lambda name: (_number(paths[name]), name)))


def _number(path: Path) -> int:
    """Where a study stands in the list: its file says so in its first line ("# 1 ...")."""
    words = path.read_text(encoding="utf-8").split(maxsplit=2)
    return int(words[1]) if words[1].isdigit() else 99


def find_study(name: str) -> Study:
    """A study by name ("interference") or by path.

    Raises:
        TrainingError: there is none of that name, or it is malformed; names the key.
    """
    return read_yaml(_find(name), Study, whole="study", error=TrainingError)


def find_base(name: str = _BASE) -> Base:
    """What studies begin from, by path or the one that comes with the package.

    Raises:
        TrainingError: there is none, or it is malformed; names the key.
    """
    return read_yaml(_find(name), Base, whole="base", error=TrainingError)


def _find(name: str) -> Path:
    candidates = [Path(name), *(folder / f"{name}.yaml" for folder in (_PRESETS, _CLONE))]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise TrainingError(
            f"no study {name!r}: expected a YAML file or one of {', '.join(study_names())}"
        )
    return path
