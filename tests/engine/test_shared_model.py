"""A model by name: one module for all who hold it, and a name when it travels."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag.engine import Engine, SharedModel
from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.model.unimoer import UniMoER


@pytest.fixture
def shared(minilm: UniMoER) -> SharedModel:
    return SharedModel("minilm", device="cpu", dtype="float32")


def test_everybody_holds_one_module_and_one_engine(minilm: UniMoER, shared: SharedModel) -> None:
    other = SharedModel("minilm", device="cpu", dtype="float32")
    assert shared.model is other.model is minilm
    assert shared.engine is other.engine is Engine.of(minilm)
    assert shared == other != SharedModel("unimoer-minilm", device="cpu", dtype="float32")
    assert len({shared, other}) == 1


def test_it_is_pickled_as_its_name(shared: SharedModel) -> None:
    sent = pickle.dumps(shared)
    assert len(sent) < 300
    arrived = pickle.loads(sent)
    assert arrived.model is shared.model
    assert arrived.name == "minilm"


@pytest.mark.slow
def test_a_copy_keeps_the_weights_whatever_becomes_of_the_files(
    minilm: UniMoER, tmp_path: Path
) -> None:
    folder = minilm.save_pretrained(tmp_path / "checkpoint")
    shared = SharedModel(str(folder), device="cpu", dtype="float32")
    shutil.rmtree(folder)
    assert copy.copy(shared).model is copy.deepcopy([shared])[0].model is shared.model
    with pytest.raises(CheckpointError, match="there is no folder"):
        pickle.loads(pickle.dumps(shared))


@pytest.mark.slow
def test_another_process_loads_it_by_name(shared: SharedModel) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(_embed, (shared,))
    np.testing.assert_allclose(found, _embed(shared), atol=1e-6)


def _embed(shared: SharedModel) -> np.ndarray:
    return shared.engine.embed(["how long do refunds take?"], "query")


def test_a_closed_engine_is_replaced(shared: SharedModel) -> None:
    shared.engine.close()
    assert shared.engine.embed(["still there"]).shape == (1, 384)


def test_a_name_that_leads_nowhere_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint 'nothing'"):
        SharedModel("nothing")
    with pytest.raises(InputError, match="unknown dtype 'int3'"):
        SharedModel("minilm", dtype="int3")
