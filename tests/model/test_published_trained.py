"""Experts on a published backbone: trained, saved, and found again on the same folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_folders import DOCUMENTS, QUERIES, save_published
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from tiny_models import randomise

from unimoer_rag.errors import DigestMismatchError
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.spec import ModelSpec
from unimoer_rag.model.tasks.state_format import StateFormat
from unimoer_rag.model.tasks.state_jobs import asking, indexing
from unimoer_rag.model.unimoer import UniMoER

PROMPTS = {"query": "who asks: ", "document": "Paris, and "}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_published("bert", tmp_path, pooling="cls", steps=[Dense(32, 20)], prompts=PROMPTS)
    return tmp_path / "published"


def load(path: Path, **options: object) -> UniMoER:
    return UniMoER.from_backbone(str(path), device="cpu", dtype="float32", **options)


def test_a_checkpoint_embeds_as_it_did_when_it_was_saved(folder: Path, tmp_path: Path) -> None:
    frozen = load(folder).embed(QUERIES, "query")
    model = randomise(load(folder))
    model.save_pretrained(tmp_path / "trained")
    again = UniMoER.from_pretrained(tmp_path / "trained", device="cpu", dtype="float32")
    assert (again.dimension, again.query_instruction) == (20, PROMPTS["query"])
    assert again.document_instruction == PROMPTS["document"]
    for side, texts in (("query", QUERIES), ("document", DOCUMENTS)):
        np.testing.assert_array_equal(again.embed(texts, side), model.embed(texts, side))
    assert not np.allclose(again.embed(QUERIES, "query"), frozen, atol=0.05)
    # The published steps are the backbone's, and in no checkpoint.
    held = load_file(tmp_path / "trained/adapter_model.safetensors")
    assert not any(name.startswith("heads.embed") for name in held)


def test_a_backbone_that_embeds_otherwise_is_refused(folder: Path, tmp_path: Path) -> None:
    load(folder).save_pretrained(tmp_path / "trained")
    path = folder / "2_Dense/model.safetensors"
    kept = load_file(path)
    save_file({name: tensor * 2 for name, tensor in kept.items()}, path)
    with pytest.raises(DigestMismatchError, match="so that it would embed otherwise"):
        UniMoER.from_pretrained(tmp_path / "trained", device="cpu")
    save_file(kept, path)
    UniMoER.from_pretrained(tmp_path / "trained", device="cpu")
    (folder / "modules.json").unlink()
    with pytest.raises(DigestMismatchError, match="so that it would embed otherwise"):
        UniMoER.from_pretrained(tmp_path / "trained", device="cpu")


def test_a_checkpoint_from_before_stays_as_it_was(folder: Path, tmp_path: Path) -> None:
    """It was trained on plainly pooled states, and its file has no digest of the folder."""
    modules = (folder / "modules.json").read_bytes()
    (folder / "modules.json").unlink()
    plain = load(folder)
    plain.save_pretrained(tmp_path / "trained")
    config = json.loads((tmp_path / "trained/adapter_config.json").read_text())
    assert not {"base_model_files_sha256", "document_instruction"} & config.keys()
    (folder / "modules.json").write_bytes(modules)
    again = UniMoER.from_pretrained(tmp_path / "trained", device="cpu", dtype="float32")
    assert again.published is None
    np.testing.assert_array_equal(again.embed(DOCUMENTS), plain.embed(DOCUMENTS))
    assert load(folder).embed(DOCUMENTS).shape != plain.embed(DOCUMENTS).shape


def test_a_spec_without_prompts_takes_the_folders(folder: Path) -> None:
    model = load(folder, spec=ModelSpec(query_instruction="ask: "))
    assert (model.query_instruction, model.document_instruction) == ("ask: ", PROMPTS["document"])
    assert load(folder, spec=ModelSpec(), document_instruction="").document_instruction == ""


def test_an_index_keeps_the_vectors_that_are_embedded(folder: Path, tmp_path: Path) -> None:
    """Vectors beside token states are those of `embed`, prompts before documents or not."""
    other = tmp_path / "other"
    save_published("bert", other, pooling="max", steps=[Normalize()], prompts={"query": "q: "})
    for path, rows in ((folder, 2), (other / "published", 1)):
        silent = [task.with_strength(0) for task in load(path).tasks.values()]
        model = load(path, tasks=silent)
        job = indexing(model, DOCUMENTS, StateFormat("float16"))
        assert len(job.rows) == rows * len(DOCUMENTS)
        vectors, states = model.execute(job)
        assert len(states) == len(DOCUMENTS)
        np.testing.assert_allclose(vectors, model.embed(DOCUMENTS), atol=1e-6)
        asked = model.execute(asking(model, QUERIES))
        np.testing.assert_allclose(asked, model.embed(QUERIES, "query"), atol=1e-6)


def test_experts_learn_through_the_published_steps(folder: Path) -> None:
    model = load(folder)
    batch = model.collate(model.rows.single(DOCUMENTS, model.task("embed")))
    vectors = torch.stack(model.read_out(batch, model(batch).hidden))
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(DOCUMENTS)))
    (1 - (vectors @ vectors.T)).sum().backward()
    learnt = parameters_by_name(model)
    ups = [p for name, p in learnt.items() if name.endswith("lora_B.weight") and ".embed." in name]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in ups)
    # What was published is no parameter, and stays as it is.
    assert not list(model.heads["embed"].parameters())
