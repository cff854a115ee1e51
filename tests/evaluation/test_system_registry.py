"""Systems by name, and what they are built of."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from model.late_folders import save_pylate
from model.tiny_models import TEXTS, save_backbone
from transformers import AutoModel

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.evaluation.systems.registry import SYSTEMS, build_system, find_entry
from unimoer_rag.evaluation.systems.unified import Unified
from unimoer_rag.lab.baselines.pins import find_weights
from unimoer_rag.lab.baselines.two_stage import TwoStage
from unimoer_rag.model.unimoer import UniMoER

WHERE = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_backbone("bert", tmp_path_factory.mktemp("bert"))


def test_the_systems_of_the_issue_are_there() -> None:
    assert set(SYSTEMS) == {
        *("unimoer", "bm25", "backbone", "backbone-cosine", "two-models", "qwen3", "e2rank"),
        *("jina-listwise", "gritlm", "task-lora", "rerank-lora", "shared-lora", "bm25-beir"),
        *("llm-pointwise", "llm-graded", "llm-query-generation", "llm-pairwise", "llm-setwise"),
        *("llm-listwise", "llm-self-consistency", "llm-tournament", "llm-reasoning"),
    }


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_names_what_builds_it(name) -> None:
    assert callable(resolve_name(SYSTEMS[name].build))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown system 'bm52'") as caught:
        find_entry("bm52")
    assert all(name in str(caught.value) for name in SYSTEMS)


@pytest.mark.parametrize(
    ("name", "models", "said"),
    [
        ("bm25", {"embedder": "minilm"}, "'bm25' has no embedder .* takes no model"),
        ("unimoer", {"reranker": "x"}, "no reranker to choose .* takes checkpoint"),
        ("qwen3", {"checkpoint": "x"}, "takes embedder, reranker"),
        ("unimoer", {"reader": "unimoer-minilm"}, "reads answers itself"),
        ("task-lora", {"embedder": "x"}, "'task-lora' needs reranker"),
        (
            "shared-lora",
            {},
            "'shared-lora' needs embedder: name the folder of a plain LoRA adapter",
        ),
        ("backbone", {"embedder": ""}, "the embedder is an empty name"),
    ],
)
def test_models_that_do_not_fit_are_refused(name, models, said) -> None:
    with pytest.raises(InputError, match=said):
        build_system(name, **models, **WHERE)


@pytest.mark.parametrize("name", ["backbone", "backbone-cosine"])
def test_a_backbone_is_taken_as_it_is(name, backbone) -> None:
    system = build_system(name, embedder=str(backbone), **WHERE)
    [model] = system.modules
    whole = UniMoER.from_pretrained(backbone, **WHERE)
    assert isinstance(model, UniMoER)
    assert not model.experts
    # The backbone is all there is in memory, an idle router and a head of three numbers aside.
    published = sum(p.numel() for p in AutoModel.from_pretrained(str(backbone)).parameters())
    pooler = 32 * 32 + 32
    assert sum(p.numel() for p in model.backbone.parameters()) == published - pooler
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in whole.parameters())
    question, expected = "who wrote the report?", whole.rank("who wrote the report?", TEXTS)
    if name == "backbone-cosine":
        expected = whole.embed(TEXTS) @ whole.embed([question], "query")[0]
    [scores] = system.rank([question], [TEXTS])
    assert np.argsort(-scores).tolist() == np.argsort(-expected).tolist()
    if name == "backbone-cosine":
        assert scores == pytest.approx(expected, abs=1e-5)
    assert system.name == name
    assert system.reader is None


@pytest.mark.slow
def test_a_backbone_of_late_interaction_is_taken_as_it_is(tmp_path) -> None:
    folder = save_pylate(tmp_path / "late")
    system = build_system("backbone", embedder=str(folder), **WHERE)
    [scores] = system.rank(["who wrote the report?"], [TEXTS])
    expected = UniMoER.from_pretrained(folder, **WHERE).score(
        "who wrote the report?", TEXTS, logits=True
    )
    assert scores == pytest.approx(expected, abs=1e-5)


def test_a_trained_checkpoint_is_no_backbone(minilm_path) -> None:
    with pytest.raises(BackboneError, match="unknown backbone 'unimoer-minilm'"):
        build_system("backbone", embedder="unimoer-minilm", **WHERE)


def test_two_models_are_two(backbone, tmp_path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra baselines")
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config = AutoConfig.from_pretrained(str(backbone), num_labels=1)
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(str(tmp_path))
    AutoTokenizer.from_pretrained(str(backbone)).save_pretrained(str(tmp_path))
    system = build_system("two-models", embedder=str(backbone), reranker=str(tmp_path), **WHERE)
    assert isinstance(system, TwoStage)
    assert (system.name, len(system.modules), system.reranks) == ("two-models", 2, True)
    assert system.describe()["reranker"]["model"] == str(tmp_path)


def test_a_reader_is_loaded_and_named(backbone, minilm_path) -> None:
    system = build_system("bm25", reader="unimoer-minilm", **WHERE)
    assert system.reader is not None
    assert list(system.modules) == [system.reader.model]
    assert system.describe()["reader"]["checkpoint"] == "unimoer-minilm"
    ours = build_system("unimoer", **WHERE)
    assert isinstance(ours, Unified)
    assert ours.model is system.reader.model  # one backbone, whoever asks for it


@pytest.mark.parametrize("name", [name for name, entry in SYSTEMS.items() if entry.takes])
def test_default_weights_are_here_or_pinned(name, monkeypatch) -> None:
    """No default asks the Hub for whatever is newest."""
    asked: list[str] = []
    monkeypatch.setattr(
        "unimoer_rag.lab.baselines.pins.resolve_backbone",
        lambda weights: asked.append(weights) or Path(),
    )
    for kind, default in SYSTEMS[name].takes.items():
        if default and kind != "checkpoint":
            find_weights(default)
    for weights in asked:
        repo, _, commit = weights.partition("@")
        assert len(commit) == 40 or "/" not in repo
