"""What a model is beside its backbone, as one value: what a checkpoint and a recipe write down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.published import Published
from unimoer_rag.model.tasks import DEFAULT_TASKS, EMBED, MIN_TOKENS, RERANK, Task, check_name

__all__ = ["DEFAULT_EXPERTS", "ModelSpec", "published_fields"]

# Where the model alone limits a row.
_ENDLESS = 10**6

DEFAULT_EXPERTS: Mapping[str, ExpertSpec] = {
    "shared": ExpertSpec(rank=8, alpha=16),
    "embed": ExpertSpec(rank=8, alpha=16),
    "rerank": ExpertSpec(rank=8, alpha=16),
    "read": ExpertSpec(rank=8, alpha=16),
}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Experts, tasks and routing of a model.

    Attributes:
        experts: size and place of each expert, by name, in order.
        tasks: what the model can do, in order; any iterable is taken.
        router: a key of `ROUTERS`.
        gate: a key of `GATES`.
        router_options: options of the router's own, such as `{"k": 8}` of "rank-wise".
        targets: names of the linear layers that get experts ("query", "dense"); all when empty.
        query_instruction: goes before a query that is embedded.
        document_instruction: goes before a document that is embedded.

    Raises:
        InputError: a name that cannot be one, two tasks of one name, or a task with an expert that
            does not exist. Router, gate and places are checked where a model is made of them.

    >>> ModelSpec(router="token").with_expert("law", ExpertSpec(rank=4, alpha=8)).router
    'token'
    """

    experts: Mapping[str, ExpertSpec] = field(default_factory=lambda: DEFAULT_EXPERTS)
    tasks: tuple[Task, ...] = DEFAULT_TASKS
    router: str = "per-layer"
    gate: str = "sparsegen"
    router_options: Mapping[str, int] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    query_instruction: str = ""
    document_instruction: str = ""

    def __post_init__(self) -> None:
        # Copies of its own, whatever was given.
        kinds: dict[str, Any] = {
            "experts": dict, "tasks": tuple, "router_options": dict, "targets": tuple
        }  # fmt: skip
        for name, kind in kinds.items():
            object.__setattr__(self, name, kind(getattr(self, name)))
        for expert in self.experts:
            check_name(expert, "an expert")
        names: set[str] = set()
        for task in self.tasks:
            check_name(task.name, "a task")
            if task.name in names:
                raise InputError(f"the task {task.name!r} exists already: choose another name")
            names.add(task.name)
            missing = next((e for e in task.experts if e not in self.experts), None)
            if missing is not None:
                raise InputError(
                    f"task {task.name!r} names the expert {missing!r}, which does not exist: "
                    f"expected one of {', '.join(self.experts)}"
                )

    @property
    def ranks(self) -> tuple[int, ...]:
        """Of the experts."""
        return tuple(expert.rank for expert in self.experts.values())

    def expert(self, name: str) -> ExpertSpec:
        """The expert of that name.

        Raises:
            InputError: there is none; names those there are.
        """
        if name not in self.experts:
            raise InputError(
                f"this model has no expert {name!r}: it has {', '.join(self.experts) or 'none'}"
            )
        return self.experts[name]

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            InputError: there is none; names those there are.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        names = ", ".join(task.name for task in self.tasks)
        raise InputError(f"this model has no task {name!r}: it has {names}")

    def with_expert(self, name: str, expert: ExpertSpec) -> ModelSpec:
        """With one more expert.

        Raises:
            InputError: the name is taken or cannot be one.
        """
        if name in self.experts:
            raise InputError(f"the expert {name!r} exists already: choose another name")
        return replace(self, experts={**self.experts, name: expert})

    def without_expert(self, name: str) -> ModelSpec:
        """Without an expert.

        Raises:
            InputError: there is none of that name, or a task names it.
        """
        self.expert(name)
        users = [task.name for task in self.tasks if name in task.experts]
        if users:
            raise InputError(
                f"the expert {name!r} is named by the task{'s' * (len(users) > 1)} "
                f"{', '.join(map(repr, users))}: remove what names it first"
            )
        return replace(self, experts={k: v for k, v in self.experts.items() if k != name})

    def with_task(self, task: Task) -> ModelSpec:
        """With one more task.

        Raises:
            InputError: the name is taken, or it names an expert that does not exist.
        """
        return replace(self, tasks=(*self.tasks, task))

    def without_task(self, name: str) -> ModelSpec:
        """Without the task of that name, where there is one."""
        return replace(self, tasks=tuple(task for task in self.tasks if task.name != name))

    def changed(self, task: Task) -> ModelSpec:
        """With a task in the place of the one of its name."""
        tasks = tuple(task if task.name == other.name else other for other in self.tasks)
        return replace(self, tasks=tasks)


def published_fields(published: Published, width: int) -> dict[str, Any]:
    """Fields of a `ModelSpec` on a backbone that says itself how it embeds.

    Its prompts, and default tasks that read as long a text as it does. What compares token states
    reads as long a text as what embeds, so that one forward serves both. A late-interaction model
    and a cross-encoder have the tasks that they were published for, and no experts.

    Args:
        published: what it says.
        width: of its states.
    """
    limit = max(MIN_TOKENS, published.max_tokens or _ENDLESS)
    if published.late is not None:
        limit = max(MIN_TOKENS, published.late.document_tokens or limit)
        heads = {EMBED: "token-mean", RERANK: "maxsim"}
        return {"experts": {}, "tasks": [_bare(*each, limit) for each in heads.items()]}
    if published.cross is not None:
        return {"experts": {}, "tasks": [_bare(RERANK, "cross-encoder", limit)]}
    whole = published.dimension(width)
    dimensions = {EMBED.name: tuple(size for size in published.dimensions if size < whole)}
    tasks = tuple(
        replace(task, max_tokens=limit, dimensions=dimensions.get(task.name, ()))
        if task in (EMBED, RERANK)
        else task
        for task in DEFAULT_TASKS
    )
    return {
        "query_instruction": published.query_prompt,
        "document_instruction": published.document_prompt,
        "tasks": tasks,
    }


def _bare(task: Task, head: str, max_tokens: int) -> Task:
    """A default task with the head of a published model, and without experts."""
    return replace(task, head=head, experts=(), max_tokens=max_tokens)
