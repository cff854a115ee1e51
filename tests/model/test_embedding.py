"""Instructions and sizes of embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEXTS, make_model

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks import DEFAULT_TASKS, EMBED, Task
from unimoer_rag.model.unimoer import UniMoER


@pytest.fixture
def cut(backbone_path) -> UniMoER:
    """A model said to be trained for embeddings of 8 and 16 numbers."""
    tasks = [replace(EMBED, dimensions=(8, 16)), *DEFAULT_TASKS[1:]]
    return make_model(backbone_path("bert"), tasks=tasks)


# -- instructions ---------------------------------------------------------------------------


def test_an_instruction_goes_before_the_text(model: UniMoER) -> None:
    """As tokens of its own, on either side."""
    task = model.task("embed")
    for side in ("query", "document"):
        plain = model.rows.single(["refunds"], task, side)[0]
        told = model.rows.single(["refunds"], task, side, "find: ")[0]
        n = model.rows.count("find: ")
        start, end = plain.first
        assert told.first == (start + n, end + n)
        assert told.ids[: start + n] == plain.ids[:start] + model.rows._ids("find: ")
        assert told.ids[start + n :] == plain.ids[start:]


def test_the_backbones_own_instruction_is_for_queries_alone(backbone_path) -> None:
    model = make_model(backbone_path("bert"), query_instruction="search: ")
    for given in (None, "search: "):
        np.testing.assert_array_equal(
            model.embed(TEXTS, "query", instruction=given), model.embed(TEXTS, "query")
        )
    bare = model.embed(TEXTS, "query", instruction="")
    np.testing.assert_array_equal(bare, model.embed(TEXTS, "document"))
    assert not np.allclose(bare, model.embed(TEXTS, "query"))
    told = model.embed(TEXTS, "document", instruction="search: ")
    np.testing.assert_array_equal(told, model.embed(TEXTS, "query"))


def test_other_tasks_know_no_instruction(backbone_path) -> None:
    plain = make_model(backbone_path("bert"))
    told = make_model(backbone_path("bert"), query_instruction="search: ")
    np.testing.assert_array_equal(plain.score("who?", TEXTS), told.score("who?", TEXTS))


def test_an_instruction_must_be_text_that_leaves_room(model: UniMoER) -> None:
    with pytest.raises(InputError, match="the instruction is a int"):
        model.embed(TEXTS, instruction=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"taken by the .* around the text"):
        model.embed(TEXTS, instruction="word " * 5000)


# -- sizes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 16])
def test_a_cut_embedding_is_the_beginning_of_the_whole_one(cut: UniMoER, size: int) -> None:
    whole = cut.embed(TEXTS)
    found = cut.embed(TEXTS, dimensions=size)
    expected = whole[:, :size] / np.linalg.norm(whole[:, :size], axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert cut.embed([], dimensions=size).shape == (0, size)


def test_the_full_size_may_always_be_asked_for(model: UniMoER) -> None:
    np.testing.assert_array_equal(
        model.embed(TEXTS, dimensions=model.dimension), model.embed(TEXTS)
    )


@pytest.mark.parametrize("size", [0, -8, 9, 1000, True, "8"])
def test_other_sizes_are_refused(cut: UniMoER, size) -> None:
    with pytest.raises(InputError, match=f"dimensions is {size!r}: .* gives embeddings of 8, 16, "):
        cut.embed(TEXTS, dimensions=size)


def test_a_checkpoint_that_was_not_trained_to_be_cut_says_so(model: UniMoER) -> None:
    with pytest.raises(InputError, match=f"embeddings of {model.dimension} .*Matryoshka"):
        model.embed(TEXTS, dimensions=8)


def test_the_sizes_are_part_of_the_checkpoint(cut: UniMoER, tmp_path: Path) -> None:
    folder = cut.save_pretrained(tmp_path / "checkpoint")
    loaded = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    assert loaded.task("embed").dimensions == (8, 16)
    np.testing.assert_array_equal(loaded.embed(TEXTS, dimensions=8), cut.embed(TEXTS, dimensions=8))


@pytest.mark.parametrize(("head", "sizes"), [("late", (8,)), ("vector", (0,)), ("vector", (-8,))])
def test_sizes_that_no_task_can_have_are_refused(head, sizes) -> None:
    expected = "positive sizes" if head == "vector" else "dimensions for the head 'vector' alone"
    with pytest.raises(InputError, match=rf"the dimensions .*: expected {expected}"):
        Task("x", head, (), dimensions=sizes)
