"""The file of a model's heads: read as it was written, and for that model alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from generation.tiny_llm import save_llm
from model.tiny_models import make_model
from ranking.attention.reference import load

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.generation import LocalLLM, ResidentLLM
from unimoer_rag.ranking import FoundHeads
from unimoer_rag.ranking.attention import Head, ModelFacts


@pytest.fixture
def found(llm: LocalLLM) -> FoundHeads:
    return FoundHeads(
        model=ModelFacts.of(llm),
        heads=(Head(layer=2, head=1, score=0.75), Head(layer=0, head=3, score=0.5)),
        questions=10,
        negatives=4.5,
        temperature=0.001,
        seed=3,
        data="nq, dev",
    )


@pytest.fixture
def path(found: FoundHeads, tmp_path: Path) -> Path:
    found.save(tmp_path / "heads.json")
    return tmp_path / "heads.json"


def test_what_is_written_is_read(llm: LocalLLM, found: FoundHeads, path: Path) -> None:
    read = FoundHeads.load(path, llm)
    assert read == found
    assert read.pairs == [(2, 1), (0, 3)]


def test_no_folder_of_the_machine_is_written(folder: Path, path: Path) -> None:
    assert str(folder.parent) not in path.read_text()
    assert json.loads(path.read_text())["model"]["name"] == folder.name


def test_the_same_model_elsewhere_and_otherwise_loaded(
    folder: Path, path: Path, found: FoundHeads, tmp_path: Path
) -> None:
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert FoundHeads.load(path, load(moved, dtype="bfloat16")) == found
    with Engine(make_model(folder)) as engine:
        assert FoundHeads.load(path, ResidentLLM(engine)) == found


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"num_hidden_layers": 4, "layer_types": ["full_attention"] * 4}]
)
def test_another_model_is_refused(path: Path, changes: dict, tmp_path: Path) -> None:
    other = load(save_llm(tmp_path / "other", max_position_embeddings=4096, **changes))
    message = r"heads.json are of attention0 \(qwen3, 3 layers of 4 heads, .*not of other \(qwen3"
    with pytest.raises(InputError, match=message):
        FoundHeads.load(path, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": []}, "heads"),
        ({"heads": [{"layer": -1, "head": 0, "score": 0.5}]}, "heads.0.layer"),
        ({"heads": [{"layer": 0, "head": 0, "score": 1.5}]}, "heads.0.score"),
        ({"format": "unimoer-heads-9"}, "format: expected 'unimoer-heads-1'"),
        ({"more": 1}, "more"),
        ({"seed": "x"}, "seed: expected a whole number"),
    ],
)
def test_a_malformed_file(llm: LocalLLM, path: Path, changes: dict[str, Any], message: str) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(DataError, match=message):
        FoundHeads.load(path, llm)


def test_no_file_and_no_json(llm: LocalLLM, path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.json"):
        FoundHeads.load(tmp_path / "nothing.json", llm)
    path.write_text("{")
    with pytest.raises(DataError, match=r"heads\.json is no JSON"):
        FoundHeads.load(path, llm)
