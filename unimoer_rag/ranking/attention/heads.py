"""Heads that were found for a model, as a small file that is read for this model alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.files import write_file
from unimoer_rag.generation import Decoder
from unimoer_rag.json_text import read_json
from unimoer_rag.ranking.attention.prompt import Rows
from unimoer_rag.wrong_values import explained

__all__ = ["FoundHeads", "Head", "ModelFacts"]

# Values of each weight that go into a fingerprint: any further training changes some of them.
_VALUES = 64


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelFacts(_Part):
    """Which model heads are of.

    Attributes:
        name: the model's, for messages; of a folder its last name.
        model_type: its architecture.
        n_layers: how many it has.
        n_heads: of a layer.
        fingerprint: SHA-256 over the beginnings of the weights of all layers, as bfloat16: the same
            in every precision that holds those.
    """

    name: str
    model_type: str
    n_layers: int = Field(ge=1)
    n_heads: int = Field(ge=1)
    fingerprint: str

    @classmethod
    def of(cls, llm: Decoder) -> ModelFacts:
        """The facts of a loaded model."""
        config = llm.model.config
        return cls(
            name=Path(llm.name).name if Path(llm.name).is_dir() else llm.name,
            model_type=config.model_type,
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            fingerprint=_fingerprint(llm.model),
        )

    def same(self, other: ModelFacts) -> bool:
        """Whether two are of one model, whatever it is called."""
        return self.model_dump(exclude={"name"}) == other.model_dump(exclude={"name"})


class Head(_Part):
    """One head of attention.

    Attributes:
        layer: from 0.
        head: from 0.
        score: by which it was chosen, in [0, 1].
    """

    layer: int = Field(ge=0)
    head: int = Field(ge=0)
    score: float = Field(ge=0, le=1)


class FoundHeads(_Part):
    """The heads of a model that tell the passages that answer from others.

    Attributes:
        format: of the file.
        model: whose they are.
        heads: the best first.
        questions: how many they were found on.
        negatives: passages that do not answer, a question on average.
        temperature: of the contrast.
        seed: of the order of passages.
        rows: whose attention counted.
        data: what the questions were.
    """

    format: Literal["unimoer-heads-1"] = "unimoer-heads-1"
    model: ModelFacts
    heads: tuple[Head, ...] = Field(min_length=1)
    questions: int = Field(ge=1)
    negatives: float = Field(ge=1)
    temperature: float = Field(gt=0)
    seed: int
    rows: Rows = "all"
    data: str = ""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Layer and head of each, for `InContextRanks`."""
        return [(head.layer, head.head) for head in self.heads]

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_file(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path, llm: Decoder) -> FoundHeads:
        """Read the file of a model's heads.

        Args:
            path: the file.
            llm: the model.

        Raises:
            DataError: there is no such file, or it is malformed; names the value.
            InputError: the heads are of another model.
        """
        try:
            found = cls.model_validate(read_json(path, error=DataError))
        except ValidationError as problem:
            first = problem.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise DataError(f"{path}: {where}: {explained(first, cls)}") from problem
        found._check(ModelFacts.of(llm), path)
        return found

    def _check(self, model: ModelFacts, path: Path) -> None:
        if not self.model.same(model):
            raise InputError(
                f"the heads in {path} are of {_told(self.model)}, not of {_told(model)}: give that "
                "model, or find this one's with `unimoer-rag ranking find-heads`"
            )


def _told(model: ModelFacts) -> str:
    return (
        f"{model.name} ({model.model_type}, {model.n_layers} layers of {model.n_heads} heads, "
        f"fingerprint {model.fingerprint[:12]})"
    )


@torch.inference_mode()
def _fingerprint(model: Any) -> str:
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if _is_of_layers(name):
            digest.update(_beginning(parameter))
    return digest.hexdigest()


def _is_of_layers(name: str) -> bool:
    """Whether a weight is one of a layer, and of no expert beside it."""
    return any(part.isdigit() for part in name.split(".")) and "lora_" not in name


def _beginning(parameter: Tensor) -> bytes:
    values = parameter.detach().reshape(-1)[:_VALUES].to(torch.bfloat16).cpu()
    return values.view(torch.int16).numpy().tobytes()
