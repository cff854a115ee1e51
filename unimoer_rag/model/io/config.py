"""The checkpoint's `adapter_config.json`, validated."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unimoer_rag.errors import InputError
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.spec import ModelSpec
from unimoer_rag.model.tasks import MIN_TOKENS, Task

__all__ = ["CheckpointConfig", "ExpertConfig", "TaskConfig", "spec_of"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpertConfig(_Frozen):
    """Size and place of one expert, the size in PEFT's words; see `ExpertSpec`."""

    r: int = Field(ge=1, le=2**20)
    lora_alpha: float = Field(gt=0, allow_inf_nan=False)
    targets: tuple[str, ...] = Field(default=(), max_length=1000)
    layers: tuple[int, ...] = Field(default=(), max_length=1000)

    @classmethod
    def of(cls, spec: ExpertSpec) -> ExpertConfig:
        """That of an expert."""
        return cls(r=spec.rank, lora_alpha=spec.alpha, targets=spec.targets, layers=spec.layers)

    def spec(self) -> ExpertSpec:
        """As the model wants it."""
        return ExpertSpec(
            rank=self.r, alpha=self.lora_alpha, targets=self.targets, layers=self.layers
        )


class TaskConfig(_Frozen):
    """One task of the model; the fields are `Task`'s."""

    name: str
    head: str
    experts: tuple[str, ...]
    strength: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    max_tokens: int = Field(default=256, ge=MIN_TOKENS, le=2**24)
    abstain: float = Field(default=0.5, ge=0, le=1)
    feedback: float = Field(default=0.0, ge=0, lt=1)
    coverage: tuple[float, float] = (0.0, 0.0)
    contrast: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    dimensions: tuple[int, ...] = Field(default=(), max_length=1000)
    labels: tuple[str, ...] = ()
    document_first: bool = False
    queries_only: bool = False

    @model_validator(mode="after")
    def _can_be_used(self) -> TaskConfig:
        """Refuse here already what `Task` would refuse."""
        try:
            self.task()
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    def task(self) -> Task:
        """As the model wants it."""
        return Task(**self.model_dump())


class CheckpointConfig(_Frozen):
    """Everything about a checkpoint but its tensors.

    `base_model_name_or_path`, `target_modules`, `r` and `lora_alpha` are PEFT's names.
    """

    peft_type: Literal["UNIMOER"] = "UNIMOER"
    format_version: Literal[1] = 1
    base_model_name_or_path: str
    base_model_revision: str | None = None
    base_model_sha256: str | None = None
    # Of a folder that says how it embeds: all its files (`Published.digest`).
    base_model_files_sha256: str | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    hidden_size: int
    num_hidden_layers: int
    # Each is a module or a look at the whole vocabulary: more would take minutes.
    experts: dict[str, ExpertConfig] = Field(max_length=256)
    router: str
    gate: str
    router_options: dict[str, int] = {}
    target_modules: tuple[str, ...] = Field(default=(), max_length=1000)
    query_instruction: str = ""
    # Left out where there is none, so that files of such models stay as they were.
    document_instruction: str = Field(default="", exclude_if=lambda value: not value)
    tasks: tuple[TaskConfig, ...] = Field(max_length=256)
    weights_sha256: str

    @classmethod
    def of(cls, spec: ModelSpec, **others: Any) -> CheckpointConfig:
        """That of a model, the other fields given."""
        return cls(
            experts={name: ExpertConfig.of(expert) for name, expert in spec.experts.items()},
            router=spec.router,
            gate=spec.gate,
            router_options=dict(spec.router_options),
            target_modules=spec.targets,
            query_instruction=spec.query_instruction,
            document_instruction=spec.document_instruction,
            tasks=tuple(TaskConfig(**asdict(task)) for task in spec.tasks),
            **others,
        )

    def spec(self) -> ModelSpec:
        """What it says of the model beside the backbone.

        Raises:
            InputError: a name that cannot be one, or a task with an expert that does not exist.
        """
        spec = spec_of(self, self.target_modules)
        return replace(spec, document_instruction=self.document_instruction)


class _ModelKeys(Protocol):
    """What checkpoints and recipes say of a model under the same names."""

    experts: dict[str, ExpertConfig]
    tasks: tuple[TaskConfig, ...]
    router: str
    gate: str
    router_options: dict[str, int]
    query_instruction: str


def spec_of(keys: _ModelKeys, targets: tuple[str, ...]) -> ModelSpec:
    """What a checkpoint or a recipe says of its model beside the backbone.

    Raises:
        InputError: a name that cannot be one, or a task with an expert that does not exist.
    """
    return ModelSpec(
        experts={name: expert.spec() for name, expert in keys.experts.items()},
        tasks=tuple(task.task() for task in keys.tasks),
        router=keys.router,
        gate=keys.gate,
        router_options=keys.router_options,
        targets=targets,
        query_instruction=keys.query_instruction,
    )
