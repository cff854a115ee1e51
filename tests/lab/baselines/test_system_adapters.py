"""Adapters chosen by the task give what PEFT's own model gives with that adapter active."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from model.tiny_models import TEXTS, save_backbone
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from unimoer_rag.engine import Engine
from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.evaluation.systems import Unified
from unimoer_rag.evaluation.systems.registry import build_system
from unimoer_rag.lab.baselines.adapters import load_adapters
from unimoer_rag.model.unimoer import UniMoER

peft = pytest.importorskip("peft", reason="needs the extra: pip install 'unimoer-rag[peft]'")
# peft 0.21 asks transformers for a property that transformers 5 is renaming.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

TARGETS = {"bert": ["query", "value"], "qwen3": ["q_proj", "down_proj"]}


def save_adapter(backbone: Path, folder: Path, targets: list[str], *, rank: int, seed: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModel.from_pretrained(str(backbone), dtype=torch.float32)
        config = peft.LoraConfig(
            r=rank, lora_alpha=3 * rank, target_modules=targets, init_lora_weights=False
        )
        wrapped = peft.get_peft_model(model, config)
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(std=0.2)
    wrapped.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module", params=["bert", "qwen3"])
def folders(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A backbone, and an adapter for each of two tasks, of other sizes and on other layers."""
    root = tmp_path_factory.mktemp(request.param)
    backbone = save_backbone(request.param, root / "backbone")
    first, second = TARGETS[request.param]
    return {
        "backbone": backbone,
        "embed": save_adapter(backbone, root / "embed", [first], rank=4, seed=1),
        "rerank": save_adapter(backbone, root / "rerank", [first, second], rank=2, seed=2),
    }


def kind(folders: dict[str, Path]) -> str:
    model_type: str = json.loads((folders["backbone"] / "config.json").read_text())["model_type"]
    return model_type


def load(folders: dict[str, Path], **adapters: Path) -> UniMoER:
    return load_adapters(folders["backbone"], device="cpu", dtype="float32", **adapters)


@torch.inference_mode()
def states(folders: dict[str, Path], active: str | None, text: str) -> tuple[Tensor, Tensor]:
    """Token ids and last hidden states of one text in PEFT's own model."""
    model = AutoModel.from_pretrained(str(folders["backbone"]), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(str(folders["backbone"]))
    if active:
        model = peft.PeftModel.from_pretrained(model, str(folders["embed"]), adapter_name="embed")
        model.load_adapter(str(folders["rerank"]), adapter_name="rerank")
        model.set_adapter(active)
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    return inputs["input_ids"][0], model.eval()(**inputs).last_hidden_state[0]


def ours(model: UniMoER, task: str, text: str) -> Tensor:
    batch = model.collate(model.rows.single([text], model.task(task)))
    with torch.inference_mode():
        return model(batch).hidden[0]


def test_each_task_is_its_adapter_in_peft(folders) -> None:
    model = load(folders, embed=folders["embed"], rerank=folders["rerank"])
    for task in ("embed", "rerank"):
        ids, expected = states(folders, task, TEXTS[1])
        row = model.rows.single([TEXTS[1]], model.task(task))[0]
        assert row.ids[: len(ids)] == ids.tolist()
        found = ours(model, task, TEXTS[1])[: len(ids)]
        torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)
    assert not torch.allclose(ours(model, "embed", TEXTS[1]), ours(model, "rerank", TEXTS[1]))


def test_one_shared_adapter_serves_both_tasks(folders) -> None:
    model = load(folders, shared=folders["rerank"])
    alone = load(folders, embed=folders["rerank"])
    for text in TEXTS:
        expected = ours(alone, "embed", text)
        torch.testing.assert_close(ours(model, "embed", text), expected)
        torch.testing.assert_close(ours(model, "rerank", text), expected)


def test_a_task_without_an_adapter_is_the_bare_backbone(folders) -> None:
    model = load(folders, embed=folders["embed"])
    ids, expected = states(folders, None, TEXTS[0])
    found = ours(model, "rerank", TEXTS[0])[: len(ids)]
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)


def test_only_the_adapters_layers_are_routed(folders) -> None:
    targets = TARGETS[kind(folders)]
    for task, expected in (("embed", targets[:1]), ("rerank", targets)):
        model = load(folders, **{task: folders[task]})
        names = {layer.rpartition(".")[2] for layer in model.routed_layers()}
        assert names == set(expected)


def test_the_system_ranks_with_it(folders) -> None:
    model = load(folders, embed=folders["embed"], rerank=folders["rerank"])
    with Engine.of(model):
        system = Unified(model, name="task-lora")
        scores = system.rank([TEXTS[0]], [TEXTS])
        np.testing.assert_allclose(scores[0], model.score(TEXTS[0], TEXTS, logits=True), atol=1e-4)
        assert scores[0].argmax() == 0
    assert "embed=" in str(system.describe()["checkpoint"])


def test_rerank_lora_embeds_as_published(folders) -> None:
    system = build_system(
        "rerank-lora",
        checkpoint=str(folders["backbone"]),
        reranker=str(folders["rerank"]),
        device="cpu",
        dtype="float32",
    )
    assert system.name == "rerank-lora"
    (model,) = system.modules
    bare = UniMoER.from_backbone(str(folders["backbone"]), device="cpu", dtype="float32")
    np.testing.assert_allclose(model.embed(TEXTS), bare.embed(TEXTS), atol=1e-6)
    adapted = load(folders, rerank=folders["rerank"])
    np.testing.assert_allclose(model.score(TEXTS[0], TEXTS), adapted.score(TEXTS[0], TEXTS))
    assert not np.allclose(model.score(TEXTS[0], TEXTS), bare.score(TEXTS[0], TEXTS))


def test_an_index_belongs_to_its_adapters(folders, tmp_path) -> None:
    # The same weights at another scale embed otherwise.
    scaled = shutil.copytree(folders["embed"], tmp_path / "scaled")
    config = json.loads((scaled / "adapter_config.json").read_text())
    config["lora_alpha"] *= 2
    (scaled / "adapter_config.json").write_text(json.dumps(config))
    digests = {
        load(folders, embed=folders["embed"]).checkpoint_digest,
        load(folders, embed=folders["rerank"]).checkpoint_digest,
        load(folders, embed=scaled).checkpoint_digest,
        load(folders, shared=folders["rerank"]).checkpoint_digest,
        UniMoER.from_backbone(str(folders["backbone"]), device="cpu").checkpoint_digest,
    }
    assert len(digests) == 5


def test_what_cannot_be_meant_is_refused(folders, tmp_path) -> None:
    with pytest.raises(InputError, match="adapters given: none; expected embed, rerank or both"):
        load(folders)
    with pytest.raises(InputError, match="adapters given: embed, shared"):
        load(folders, embed=folders["embed"], shared=folders["rerank"])
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is missing"):
        load(folders, embed=tmp_path)
    backbone = save_backbone("qwen3" if kind(folders) == "bert" else "bert", tmp_path / "other")
    with pytest.raises(InputError, match="expected targets among"):
        load_adapters(backbone, embed=folders["embed"], device="cpu", dtype="float32")
