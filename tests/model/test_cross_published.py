"""Cross-encoders score as where they were published, by their own heads."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cross_folders import change, save_chain, save_cross
from sentence_transformers import CrossEncoder
from tiny_models import TEXTS, save_backbone
from transformers import AutoTokenizer

from unimoer_rag.engine import Engine
from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.model.tasks.task import Task
from unimoer_rag.model.unimoer import UniMoER, load_own

QUERY = "how long do refunds take?"
LONG = " ".join([QUERY] * 6)
DOCUMENTS = [*TEXTS, " ".join(TEXTS * 4)]
WHERE = {"device": "cpu", "dtype": "float32"}
KINDS = (
    "bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "deberta-v2", "electra", "modernbert",
)  # fmt: skip


def assert_same(folder: Path) -> UniMoER:
    """Logits, scores and order are those of sentence-transformers, also of what is too long."""
    theirs = CrossEncoder(str(folder), device="cpu")
    ours = load_own(folder, **WHERE)
    for query in (QUERY, LONG):
        pairs = [(query, document) for document in DOCUMENTS]
        expected = theirs.predict(pairs, activation_fn=torch.nn.Identity())
        logits = ours.score(query, DOCUMENTS, logits=True)
        assert logits == pytest.approx(expected, abs=1e-4)
        assert logits.argsort().tolist() == expected.argsort().tolist()
        sigmoid = theirs.predict(pairs, activation_fn=torch.nn.Sigmoid())
        assert ours.score(query, DOCUMENTS) == pytest.approx(sigmoid, abs=1e-4)
        assert np.ptp(expected) > 0.02  # scores that hardly differ would prove nothing
    return ours


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_heads_of_transformers(tmp_path: Path, kind: str) -> None:
    model = assert_same(save_cross(tmp_path, kind))
    assert list(model.tasks) == ["rerank"]
    assert model.task("rerank").max_tokens == 48
    assert not list(model.heads.parameters())  # the head is the backbone's: no checkpoint holds it


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_both_poolings_of_modernbert(tmp_path: Path, pooling: str) -> None:
    assert_same(save_cross(tmp_path, "modernbert", classifier_pooling=pooling))


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [{}, {"prompts": {"ask": "the report: "}}])
def test_what_sentence_transformers_wrote(tmp_path: Path, prompts: dict[str, Any]) -> None:
    if prompts:
        prompts["default_prompt_name"] = "ask"
    library = CrossEncoder(str(save_cross(tmp_path / "bare")), device="cpu", **prompts)
    library.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    assert_same(tmp_path / "model")


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_modules_that_end_in_one_score(tmp_path: Path, pooling: str) -> None:
    """As the rerankers of Ettin are made."""
    assert_same(save_chain(tmp_path, pooling))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross(tmp_path_factory.mktemp("cross"))


@pytest.mark.slow
def test_the_engine_gives_the_same(folder: Path) -> None:
    model = UniMoER.from_pretrained(folder, **WHERE)
    assert Engine.of(model).rank(QUERY, DOCUMENTS) == pytest.approx(
        model.score(QUERY, DOCUMENTS), abs=1e-6
    )
    assert model.score(QUERY, []).shape == (0,)


@pytest.mark.slow
def test_of_two_texts_the_longer_loses_its_end(folder: Path) -> None:
    """As the tokenizers' own "longest_first"."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = UniMoER.from_pretrained(folder, **WHERE)
    for room in (16, 17):
        task = replace(model.task("rerank"), max_tokens=room)
        for query, document in product(range(1, 18), repeat=2):
            one, other = " ".join(["refunds"] * query), " ".join(["library"] * document)
            cut = tokenizer(one, other, truncation="longest_first", max_length=room)
            [row] = model.rows.pairs([(one, other)], task)
            assert row.ids == cut.input_ids
            assert row.truncated == (query + document + 3 > room)


@pytest.mark.slow
def test_segments_are_told_apart_as_the_tokenizer_does(folder: Path, tmp_path: Path) -> None:
    """A BERT whose tokenizer gives no segments was trained without them."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    found = []
    for segments in ([], ["token_type_ids"]):
        names = ["input_ids", *segments, "attention_mask"]
        change(tmp_path / "tokenizer_config.json", model_input_names=names)
        found.append(assert_same(tmp_path).score(QUERY, DOCUMENTS, logits=True))
    assert not np.allclose(*found, atol=1e-3)


def test_what_it_is_not_asked_for(folder: Path, tmp_path: Path) -> None:
    model = UniMoER.from_pretrained(folder, **WHERE)
    with pytest.raises(InputError, match="no task 'embed': it has rerank"):
        model.embed(TEXTS)
    with pytest.raises(InputError, match="'cross-encoder', which answers as a cross-encoder was"):
        UniMoER.from_backbone(
            str(save_backbone("bert", tmp_path)), tasks=[Task("rank", "cross-encoder", ())], **WHERE
        )


@pytest.mark.slow
def test_what_cannot_be_run_as_published_is_refused(tmp_path: Path) -> None:
    cases = {
        "labels": (save_cross(tmp_path / "labels", labels=3), "gives 3 scores for a pair"),
        "scores": (save_chain(tmp_path / "scores", out=2), "gives 2 scores for a pair"),
        "activation": (save_cross(tmp_path / "activation"), "'torch.nn.Tanh'"),
        "head": (save_cross(tmp_path / "head"), "no trained head of a BertForSequenceClass"),
        "decoder": (save_cross(tmp_path / "decoder", "qwen3"), "Qwen3ForSequenceClassification"),
        "logits": (save_chain(tmp_path / "logits"), "by Transformer, LogitScore"),
    }
    change(
        tmp_path / "activation" / "config.json",
        sentence_transformers={"activation_fn": "torch.nn.Tanh"},
    )
    bare = save_backbone("bert", tmp_path / "bare")
    (tmp_path / "head" / "model.safetensors").write_bytes((bare / "model.safetensors").read_bytes())
    prompt = save_chain(tmp_path / "prompt")
    settings = {"prompts": {"ask": "x: "}, "default_prompt_name": "ask"}
    change(prompt / "config_sentence_transformers.json", **settings)
    change(prompt / "1_Pooling" / "config.json", include_prompt=False)
    cases["prompt"] = prompt, "leaves its prompt 'x: ' out of what is pooled"
    steps = save_chain(tmp_path / "steps")
    shutil.copytree(steps / "4_Dense", steps / "2_Dense", dirs_exist_ok=True)
    change(steps / "2_Dense" / "config.json", module_output_name="sentence_embedding")
    cases["steps"] = steps, "behind the pooling takes vectors of 32, and is given 1"
    modules = cases["logits"][0] / "modules.json"
    listed = json.loads(modules.read_text())[:2]
    listed[1]["type"] = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
    modules.write_text(json.dumps(listed))
    for folder, said in cases.values():
        with pytest.raises(BackboneError, match=said):
            UniMoER.from_pretrained(folder, **WHERE)
