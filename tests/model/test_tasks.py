from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_models import make_model

from unimoer_rag.errors import InputError
from unimoer_rag.model.io.config import TaskConfig
from unimoer_rag.model.tasks import DEFAULT_TASKS, EMBED, READ, RERANK, RERANK_CROSS, Task


def test_tasks_are_values() -> None:
    assert eval(repr(EMBED), {"Task": Task}) == EMBED
    assert EMBED.with_strength(0.5).strength == 0.5
    assert EMBED.strength == 1.0
    assert [task.joint for task in (EMBED, RERANK, RERANK_CROSS, READ)] == [
        False,
        False,
        True,
        True,
    ]
    assert len({*DEFAULT_TASKS, EMBED}) == 4


@pytest.mark.parametrize(
    "task",
    [
        *DEFAULT_TASKS,
        replace(RERANK, feedback=0.25, coverage=(0.3, 0.6), contrast=0.5),
        replace(READ, abstain=0.3),
    ],
)
def test_a_task_survives_its_configuration(task: Task) -> None:
    assert TaskConfig.model_validate_json(_config(task).model_dump_json()).task() == task


def _config(task: Task) -> TaskConfig:
    return TaskConfig(
        name=task.name,
        head=task.head,
        experts=task.experts,
        strength=task.strength,
        max_tokens=task.max_tokens,
        abstain=task.abstain,
        feedback=task.feedback,
        coverage=task.coverage,
        contrast=task.contrast,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": "nope"}, "has the head 'nope': expected one of vector, late, cross, span"),
        ({"strength": -0.5}, "strength -0.5"),
        ({"strength": float("nan")}, "strength nan"),
        ({"strength": float("inf")}, "strength inf"),
        ({"max_tokens": 4}, "keeps 4 tokens: expected at least 16"),
        ({"head": "late", "feedback": 1.0}, "feedback 1.0: expected a share from 0 to below 1"),
        ({"head": "late", "feedback": float("nan")}, "feedback nan"),
        ({"head": "late", "coverage": (0.6, 0.4)}, r"coverage \(0.6, 0.4\): expected two"),
        ({"head": "cross", "coverage": (0.3, 0.4)}, "head 'cross' and the coverage"),
        ({"head": "late", "coverage": (0.0, float("nan"))}, "coverage"),
        ({"head": "late", "coverage": (-0.1, 0.4)}, "coverage"),
        ({"head": "late", "contrast": -0.1}, r"contrast -0\.1: expected a number from 0 up"),
        ({"head": "late", "contrast": float("nan")}, "contrast"),
        ({"head": "cross", "contrast": 0.5}, r"head 'cross' and the contrast 0\.5"),
        ({"head": "cross", "feedback": 0.2}, "head 'cross' and the feedback 0.2"),
        ({"abstain": 1.5}, "abstains at 1.5: expected a probability"),
    ],
)
def test_values_that_cannot_be_used_are_refused(change, message) -> None:
    fields = {"name": "embed", "head": "vector", "experts": ("shared",)}
    with pytest.raises(InputError, match=message):
        Task(**{**fields, **change})


def test_unknown_routers_gates_and_experts_are_named(backbone_path) -> None:
    path = backbone_path("bert")
    with pytest.raises(InputError, match="unknown router 'x': expected one of per-layer, sequence"):
        make_model(path, router="x")
    with pytest.raises(InputError, match="unknown gate 'x': expected one of sparsegen, softmax"):
        make_model(path, gate="x")
    with pytest.raises(InputError, match="names the expert 'x', which does not exist"):
        make_model(path, tasks=[Task("embed", "vector", ("x",))])
    with pytest.raises(InputError, match="the task 'embed' exists already"):
        make_model(path, tasks=[EMBED, EMBED])
