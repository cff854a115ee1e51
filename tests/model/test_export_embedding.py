"""An embedding task is exported as a folder that sentence-transformers answers alike with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from repository import ROOT
from sentence_folders import DOCUMENTS, QUERIES, save_published
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.sentence_transformer.modules import LayerNorm
from tiny_models import ALL_DECODERS, ALL_ENCODERS, TEXTS, make_model, randomise, save_backbone
from transformers import AutoTokenizer

from unimoer_rag.model.tasks.task import EMBED
from unimoer_rag.model.unimoer import UniMoER, load_own

WHERE: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
LONG = [*DOCUMENTS, " ".join(TEXTS * 8)]


def load(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def assert_same(model: UniMoER, folder: Path) -> None:
    """Vectors, their cosines and the order of documents, of either side and any length."""
    theirs = load(folder)
    sides: dict[Any, tuple[list[str], NDArray[np.float32]]] = {
        "query": (QUERIES, theirs.encode_query(QUERIES)),
        "document": (LONG, theirs.encode_document(LONG)),
    }
    ours = {side: model.embed(texts, side) for side, (texts, _) in sides.items()}
    for side, (_, expected) in sides.items():
        lengths = np.linalg.norm(expected, axis=1)
        assert ((ours[side] * expected).sum(1) / lengths).min() >= 0.9999
    scores = ours["query"] @ ours["document"].T
    expected = theirs.similarity(sides["query"][1], sides["document"][1]).numpy()
    assert scores == pytest.approx(expected, abs=1e-4)
    assert (scores.argsort() == expected.argsort()).all()


def differs(model: UniMoER, folder: Path) -> bool:
    """Whether experts move a text's vector."""
    frozen = UniMoER.from_backbone(str(folder), **WHERE)
    return bool(np.abs(model.embed(LONG) - frozen.embed(LONG)).max() > 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*ALL_ENCODERS, *ALL_DECODERS])
def test_experts_are_in_the_weights(tmp_path: Path, kind: str) -> None:
    # On these layers of DeBERTa an expert does what no weight does (test_export_refusals).
    targets = ("value_proj", "dense") if kind == "deberta-v2" else ()
    backbone = save_backbone(kind, tmp_path / "backbone")
    model = make_model(backbone, router="task-explicit", targets=targets)
    assert differs(model, backbone)
    assert_same(model, model.export(tmp_path / "out"))


def test_one_expert_is_routed_by_nothing(tmp_path: Path) -> None:
    task = EMBED.with_strength(0.6)
    model = make_model(save_backbone("bert", tmp_path / "b"), tasks=[_alone(task)])
    assert_same(model, model.export(tmp_path / "out", to="sentence-transformers", task="embed"))


def _alone(task: Any) -> Any:
    return replace(task, experts=("embed",), max_tokens=20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pooling", "steps", "settings"),
    [
        ("cls", [], {"prompts": {"query": "the report: ", "document": "Paris, "}}),
        (["mean", "max"], [], {"include_prompt": False, "prompts": {"query": "the parcel: "}}),
        ("weightedmean", ["dense", "norm"], {}),
        ("mean_sqrt_len_tokens", ["residual", "normalize"], {}),
        ("lasttoken", ["square"], {"truncate_dim": 12}),
        ("mean", [], {"transformer": {"max_seq_length": 17, "do_lower_case": True}}),
    ],
)
def test_what_the_backbone_was_published_with(
    tmp_path: Path, pooling: Any, steps: list[str], settings: dict[str, Any]
) -> None:
    made = {
        "dense": lambda: Dense(32, 24),
        "norm": lambda: LayerNorm(24),
        "residual": lambda: Dense(
            32, 20, bias=False, activation_function=torch.nn.GELU(), use_residual=True
        ),
        "square": lambda: Dense(32, 32, activation_function=torch.nn.Identity(), use_residual=True),
        "normalize": Normalize,
    }
    save_published("bert", tmp_path, pooling=pooling, steps=[made[n]() for n in steps], **settings)
    published = tmp_path / "published"
    model = make_model(published, router="task-explicit")
    assert differs(model, published)
    out = model.export(tmp_path / "out")
    assert_same(model, out)
    again = load_own(out, **WHERE)
    assert again.published is not None
    assert model.published is not None
    for name in (
        "pooling",
        "include_prompt",
        "query_prompt",
        "document_prompt",
        "lower_case",
        "cut",
    ):
        assert getattr(again.published, name) == getattr(model.published, name)
    assert again.embed(LONG) == pytest.approx(model.embed(LONG), abs=1e-5)


@pytest.mark.slow
def test_lower_casing_is_the_tokenizers_own(tmp_path: Path) -> None:
    """Not all who read the folder look where sentence-transformers notes it."""
    save_published("qwen3", tmp_path, pooling="lasttoken", transformer={"do_lower_case": True})
    model = make_model(tmp_path / "published", router="task-explicit")
    out = model.export(tmp_path / "out")
    assert_same(model, out)
    alone = AutoTokenizer.from_pretrained(str(out))
    assert alone("PARIS Is")["input_ids"] == alone("paris is")["input_ids"]
    assert load_own(out, **WHERE).embed(LONG) == pytest.approx(model.embed(LONG), abs=1e-5)


@pytest.mark.slow
def test_a_tokenizer_that_pads_at_the_left(tmp_path: Path) -> None:
    save_published("qwen3", tmp_path, pooling="lasttoken", left=True)
    model = make_model(tmp_path / "published", router="task-explicit")
    out = model.export(tmp_path / "out")
    assert_same(model, out)
    assert AutoTokenizer.from_pretrained(str(out)).padding_side == "right"


def test_sizes_are_told(tmp_path: Path) -> None:
    tasks = [replace(EMBED, dimensions=(8, 16))]
    model = make_model(save_backbone("bert", tmp_path / "b"), tasks=tasks, router="task-explicit")
    out = model.export(tmp_path / "out")
    assert load_own(out, **WHERE).task("embed").dimensions == (8, 16)
    assert load(out)[1].get_config_dict()["embedding_dimension"] == 32


@pytest.mark.slow
@pytest.mark.parametrize("name", ["minilm", "unimoer-minilm"])
def test_the_shipped_models(tmp_path: Path, name: str) -> None:
    """Their experts are off when they embed, whatever the router would say."""
    model = UniMoER.from_pretrained(name, **WHERE)
    texts = [
        part
        for file in sorted((ROOT / "examples" / "handbook").rglob("*.md"))
        for part in file.read_text().split("\n\n")
        if part.strip()
    ]
    texts = sorted(set(texts), key=len)[::12]
    theirs = load(model.export(tmp_path / "out", task="embed"))
    expected = theirs.encode_document(texts)
    assert len(texts) >= 20
    assert max(map(len, texts)) > 8 * min(map(len, texts))
    assert (model.embed(texts) * expected).sum(1).min() >= 0.9999
    queries = texts[::4]
    ours = model.embed(queries, "query") @ model.embed(texts).T
    cosines = theirs.similarity(theirs.encode_query(queries), expected).numpy()
    assert ours == pytest.approx(cosines, abs=1e-4)
    assert (ours.argsort()[:, ::-1][:, :10] == cosines.argsort()[:, ::-1][:, :10]).all()


@pytest.mark.slow
def test_trained_experts_on_minilm(tmp_path: Path, minilm: UniMoER) -> None:
    model = UniMoER.from_backbone("minilm", router="task-explicit", **WHERE)
    randomise(model, seed=3)
    model.change_task(model.task("embed").with_strength(0.02))
    assert np.abs(model.embed(TEXTS) - minilm.embed(TEXTS)).max() > 0.01
    assert_same(model, model.export(tmp_path / "out"))


def test_a_model_in_fewer_bits_is_exported_whole(tmp_path: Path) -> None:
    backbone = save_backbone("bert", tmp_path / "b")
    whole = make_model(backbone, router="task-explicit")
    few = randomise(
        UniMoER.from_backbone(str(backbone), device="cpu", dtype="int8", router="task-explicit")
    )
    assert_same(whole, few.export(tmp_path / "out"))


def test_nothing_but_the_task_is_in_the_files(tmp_path: Path) -> None:
    model = make_model(save_backbone("bert", tmp_path / "b"), router="task-explicit")
    before = model.embed(TEXTS)
    out = model.export(tmp_path / "out")
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        "1_Pooling/config.json",
        "README.md",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for path in out.rglob("*.json"):
        assert str(tmp_path) not in path.read_text()
    card = (out / "README.md").read_text()
    assert "embed, shared at strength 1" in card
    assert str(tmp_path) not in card
    assert (model.embed(TEXTS) == before).all()
    assert not model.merged


def test_as_older_readers_know_it(tmp_path: Path) -> None:
    """text-embeddings-inference and vLLM look for these very names."""
    model = make_model(save_backbone("qwen3", tmp_path / "b"), router="task-explicit")
    out = model.export(tmp_path / "out")
    types = [module["type"] for module in json.loads((out / "modules.json").read_text())]
    assert types == [
        f"sentence_transformers.models.{n}" for n in ("Transformer", "Pooling", "Normalize")
    ]
    pooling = json.loads((out / "1_Pooling" / "config.json").read_text())
    on = [key for key, value in pooling.items() if key.startswith("pooling_mode") and value]
    assert on == ["pooling_mode_lasttoken"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_langchains_community_loads_it(tmp_path: Path) -> None:
    community = pytest.importorskip("langchain_community.embeddings")
    model = make_model(save_backbone("bert", tmp_path / "b"), router="task-explicit")
    out = model.export(tmp_path / "out")
    theirs = community.HuggingFaceEmbeddings(model_name=str(out), model_kwargs={"device": "cpu"})
    assert np.array(theirs.embed_documents(LONG)) == pytest.approx(model.embed(LONG), abs=1e-5)


@pytest.mark.slow
def test_langchains_own_package_loads_it(tmp_path: Path) -> None:
    pytest.importorskip("langchain_huggingface")
    from langchain.embeddings import init_embeddings

    model = make_model(save_backbone("bert", tmp_path / "b"), router="task-explicit")
    out = model.export(tmp_path / "out")
    theirs = init_embeddings(f"huggingface:{out}", model_kwargs={"device": "cpu"})
    assert np.array(theirs.embed_documents(LONG)) == pytest.approx(model.embed(LONG), abs=1e-5)


@pytest.mark.slow
def test_llama_index_loads_it(tmp_path: Path) -> None:
    found = pytest.importorskip("llama_index.embeddings.huggingface")
    model = make_model(save_backbone("bert", tmp_path / "b"), router="task-explicit")
    theirs = found.HuggingFaceEmbedding(str(model.export(tmp_path / "out")), device="cpu")
    vectors = np.array(theirs.get_text_embedding_batch(LONG))
    assert vectors == pytest.approx(model.embed(LONG), abs=1e-5)
