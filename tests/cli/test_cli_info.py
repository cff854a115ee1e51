"""`unimoer-rag info`: what a checkpoint is made of."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from weakref import WeakValueDictionary

import pytest
import torch
from cli_helpers import Command
from model.sentence_folders import save_published
from model.tiny_models import save_backbone
from sentence_transformers.sentence_transformer.modules import Dense

from unimoer_rag.model import device
from unimoer_rag.model.batching import count_lanes
from unimoer_rag.model.io import loading


@pytest.mark.slow
def test_text(run: Command) -> None:
    result = run("info", "minilm")
    assert result.exit_code == 0
    assert "parameters: backbone" in result.stdout
    assert "22,565,376" in result.stdout
    assert "mean routing weight" in result.stdout
    assert "late head, experts rerank, shared, strength 1, feedback 0" in " ".join(
        result.stdout.replace("│", "").split()
    )


@pytest.mark.slow
def test_json(run: Command, eager_reader: Path) -> None:
    found = json.loads(run("info", eager_reader, "--json").stdout)
    assert found["backbone"] == "minilm"
    assert found["layers"] == 6
    assert found["parameters"]["backbone"] == 22_565_376
    assert set(found["routing"]) == set(found["tasks"])
    assert found["tasks"]["rerank"]["feedback"] == 0
    assert "feedback" not in found["tasks"]["embed"]


@pytest.mark.slow
def test_how_a_published_backbone_embeds(run: Command, tmp_path: Path) -> None:
    save_published(
        "bert", tmp_path, pooling=("cls", "mean"), steps=[Dense(64, 24)],
        prompts={"query": "ask: ", "document": "told: "},
    )  # fmt: skip
    folder = str(tmp_path / "published")
    found = json.loads(run("info", folder, "--json").stdout)
    assert found["published"] == {"pooling": ["cls", "mean"], "steps": ["Dense"]}
    assert found["dimension"] == 24
    assert (found["query_instruction"], found["document_instruction"]) == ("ask: ", "told: ")
    shown = " ".join(run("info", folder).stdout.split())
    assert "pooling cls + mean, then Dense" in shown.replace("│ ", "")
    assert "before a document 'told: '" in shown.replace("│ ", "")


def test_an_unknown_checkpoint(run: Command) -> None:
    result = run("info", "nothing-of-that-name")
    assert result.exit_code == 1
    assert "no checkpoint 'nothing-of-that-name'" in result.stderr


def test_the_default_checkpoint(run: Command) -> None:
    found = json.loads(run("info", "--json").stdout)
    assert found["checkpoint"] == "unimoer-minilm"


@pytest.mark.slow
@pytest.mark.parametrize("bfloat16", [True, False], ids=["bfloat16", "no-bfloat16"])
def test_a_memory_budget_shows_what_each_setting_takes(
    run: Command, bfloat16: bool, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    # What a processor multiplies in decides over the activations under quantized weights.
    monkeypatch.setattr(device, "_has_bfloat16", lambda _: bfloat16)
    loading._plan.cache_clear()  # plans are kept: a processor does not change
    request.addfinalizer(loading._plan.cache_clear)
    # A model that another test holds keeps the plan it was first loaded by.
    monkeypatch.setattr(loading, "_live", WeakValueDictionary())
    result = run("info", "minilm", "--memory-budget", "4GB", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    by_dtype = {plan["dtype"]: plan for plan in found["memory"]}
    assert list(by_dtype) == ["float32", "bfloat16", "int8", "int4"]
    assert by_dtype["float32"]["weights"] == 2 * by_dtype["bfloat16"]["weights"] == 22_565_376 * 4
    weights = [by_dtype[dtype]["weights"] for dtype in ("bfloat16", "int8", "int4")]
    assert weights == sorted(weights, reverse=True)
    # Of settings that compute in one dtype, fewer bits take less. Without bfloat16 a quantized
    # model computes in float32, a whole layer in each lane: it may take more than bfloat16 would.
    alike = ("float32", "bfloat16", "int8", "int4") if bfloat16 else ("float32", "int8", "int4")
    totals = [by_dtype[dtype]["total"] for dtype in alike]
    assert totals == sorted(totals, reverse=True)
    size = 2 if bfloat16 else 4
    half, whole = by_dtype["bfloat16"]["activations"], by_dtype["int8"]["activations"]
    assert by_dtype["float32"]["activations"] == 2 * half
    lanes = count_lanes(torch.device("cpu"))
    assert whole == half * size // 2 + lanes * size * 384 * 1536  # the largest layer, dequantized
    parts = ("weights", "experts", "activations", "cache", "libraries")
    assert all(plan["total"] == sum(plan[part] for part in parts) for plan in by_dtype.values())
    assert found["dtype"] == ("bfloat16" if bfloat16 else "float32")
    assert result.stderr.startswith(f"memory: {found['dtype']}: ")
    assert "of 4.00 GB (weights " in result.stderr
    text = run("info", "minilm", "--memory-budget", "4GB")
    assert "MB that each setting takes" in text.stdout


def test_an_untrained_model_says_so(run: Command, tmp_path: Path) -> None:
    folder = save_backbone("qwen3", tmp_path / "decoder")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = run("info", folder)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "warning: " in said
    assert "is untrained for rerank-cross, read: what these answer means nothing" in said
    assert "Its tasks embed, rerank work as on the frozen backbone" in said


@pytest.mark.slow
def test_a_precision_is_shown(run: Command) -> None:
    result = run("info", "minilm", "--dtype", "int8")
    assert result.exit_code == 0, result.output
    assert "frozen weights" in result.stdout
    assert "22,565,376" in result.stdout


@pytest.mark.slow
def test_budgets_that_cannot_be(run: Command) -> None:
    small = run("info", "minilm", "--memory-budget", "1MB")
    assert small.exit_code == 1
    assert "the smallest setting, int4" in " ".join(small.stderr.split())
    wrong = run("info", "minilm", "--memory-budget", "plenty")
    assert wrong.exit_code == 1
    assert "memory budget 'plenty' is no size" in " ".join(wrong.stderr.split())
