"""Experts trained by a recipe on a published backbone, which then embed beside what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model.sentence_folders import save_published
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from training.toy import toy_recipe

from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.run import train

pytestmark = pytest.mark.slow


def test_a_recipe_trains_with_the_published_prompts_and_steps(
    tmp_path: Path, toy_data: Path
) -> None:
    save_published(
        "bert", tmp_path / "backbone", pooling=("cls", "mean"), steps=[Dense(64, 24), Normalize()],
        prompts={"query": "who asks: ", "document": "Paris, and "},
    )  # fmt: skip
    folder = tmp_path / "backbone/published"
    assert train(toy_recipe(folder), data=toy_data, output=tmp_path / "run")
    trained = UniMoER.from_pretrained(tmp_path / "run/checkpoint", device="cpu", dtype="float32")
    assert trained.dimension == 24
    assert trained.query_instruction == "who asks: "
    assert trained.document_instruction == "Paris, and "
    frozen = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    cosines = (trained.embed(["the library opens"]) * frozen.embed(["the library opens"])).sum(-1)
    assert 0.5 < cosines[0] < 0.999999
    np.testing.assert_allclose(np.linalg.norm(trained.embed(["x"]), axis=-1), 1, atol=1e-5)
