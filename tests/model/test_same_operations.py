"""What a task computes never depends on what learns beside it: the same kernels, in one order.

Bits are the same on every processor only where the same operations run on memory of the same
layout. Which ones torch takes may hang on `requires_grad` (`matmul` folds, `linear` fuses) where a
tensor is no plain block of memory, so that the operations themselves are compared here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from router_cases import COMBINATIONS, set_pilots
from tiny_models import TEXTS, make_model
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.tasks.head import tensors
from unimoer_rag.model.unimoer import UniMoER

_PRODUCTS = ("aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm", "aten.mv", "aten.addmv")


class Operations(TorchDispatchMode):
    """Notes each operation with the layout of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [t for t in _leaves((args, kwargs or {})) if isinstance(t, Tensor)]
        self.seen.append((str(func), *((tuple(t.shape), t.stride(), t.dtype) for t in given)))
        return func(*args, **(kwargs or {}))


def _leaves(given: Any) -> Iterator[Any]:
    """As torch's `tree_leaves`, which takes most of the time of a small model's operation."""
    if isinstance(given, tuple | list):
        for each in given:
            yield from _leaves(each)
    elif isinstance(given, dict):
        yield from _leaves([*given.values()])
    else:
        yield given


def once(model: UniMoER, rows: list[Row]) -> None:
    """One batch, after which all that is kept between calls is there."""
    with torch.no_grad():
        batch = model.collate(rows)
        model.read_out(batch, model(batch).hidden)


def operations(model: UniMoER, rows: list[Row]) -> list[tuple[Any, ...]]:
    """Those of one batch. Not in inference mode, which shows `linear` as one operation."""
    with Operations() as noted:
        once(model, rows)
    return noted.seen


def products(noted: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The products of matrices among operations: their order of sums is the kernel's own."""
    return [entry for entry in noted if entry[0].startswith(_PRODUCTS)]


def rows_of(model: UniMoER) -> dict[str, list[Row]]:
    single, pairs = model.rows.single, model.rows.pairs
    return {
        "embed": single(TEXTS, model.task("embed")),
        "rerank": single(TEXTS, model.task("rerank")),
        "rerank-cross": pairs([(TEXTS[0], TEXTS[1])], model.task("rerank-cross")),
        "read": pairs([(TEXTS[2], TEXTS[3])], model.task("read")),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_what_learns_decides_over_no_operation(backbone_path, kind, router, gate) -> None:
    model = make_model(backbone_path(kind), router=router, gate=gate)
    if router == "similarity":
        set_pilots(model)
    trained = [*model.router.parameters(), *model.heads.parameters()]
    trained += [p for name, p in model.backbone.named_parameters() if ".lora_" in name]
    for name, rows in rows_of(model).items():
        found = []
        for learns in (True, False):
            for parameter in trained:
                parameter.requires_grad_(learns)
            once(model, rows)
            found.append(operations(model, rows))
        assert found[0] == found[1], name


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
def test_an_expert_that_is_added_changes_no_product(backbone_path, router, gate) -> None:
    model = make_model(backbone_path("bert"), router=router, gate=gate)
    if router == "similarity":
        set_pilots(model)
    rows = rows_of(model)
    for of in rows.values():
        once(model, of)
    before = {name: products(operations(model, of)) for name, of in rows.items()}
    outputs = {name: model.run(of) for name, of in rows.items()}
    model.add_expert("new", ExpertSpec(rank=3, alpha=6))
    model.add_task(Task("new", "class", ("new",), labels=("a", "b")))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, of in rows.items():
        once(model, of)
        assert products(operations(model, of)) == before[name] != []
        for old, now in zip(outputs[name], model.run(of), strict=True):
            olds, nows = (
                [t] if isinstance(t, Tensor) else [*tensors(t).values()] for t in (old, now)
            )
            assert all(torch.equal(a, b) for a, b in zip(olds, nows, strict=True)), name
