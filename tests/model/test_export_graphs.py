"""Graphs give from token ids the very vectors that the model gives (extras onnx and openvino)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_folders import DOCUMENTS, QUERIES, save_published
from sentence_transformers.base.modules.dense import Dense
from tiny_models import TEXTS, make_model, randomise, save_backbone
from transformers import AutoTokenizer

from unimoer_rag.errors import InputError, MissingExtraError
from unimoer_rag.model.unimoer import UniMoER

LONG = [*DOCUMENTS, " ".join(TEXTS * 8)]
Run = Callable[[dict[str, NDArray[np.int64]]], NDArray[np.float32]]


def by_onnx(folder: Path) -> Run:
    library = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    session = library.InferenceSession(str(folder / "model.onnx"))
    return lambda rows: session.run(["sentence_embedding"], rows)[0]  # type: ignore[no-any-return]


def by_openvino(folder: Path) -> Run:
    library = pytest.importorskip("openvino", reason="needs the extra openvino")
    # Full precision: on some processors the default is half of it.
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = library.compile_model(str(folder / "openvino_model.xml"), "CPU", hint)
    return lambda rows: compiled(rows)[0]  # type: ignore[no-any-return]


TARGETS: dict[Any, Callable[[Path], Run]] = {"onnx": by_onnx, "openvino": by_openvino}


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Any:
    for package in ("onnx", "onnxscript", *(("openvino",) if request.param == "openvino" else ())):
        pytest.importorskip(package, reason=f"needs the extra {request.param}")
    return request.param


def assert_same(model: UniMoER, folder: Path, to: str) -> None:
    run, facts = TARGETS[to](folder), json.loads((folder / "export.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    sides: dict[Any, list[str]] = {"query": QUERIES, "document": LONG}
    vectors = {}
    for side, texts in sides.items():
        told = [facts["prompts"][side] + text for text in texts]
        rows = tokenizer(told, padding=True, truncation=True, return_tensors="np")
        found = run({name: rows[name] for name in facts["inputs"]})
        alone = tokenizer(told[:1], return_tensors="np")  # another number of rows and tokens
        first = run({name: alone[name] for name in facts["inputs"]})
        ours = model.embed(texts, side)
        assert (ours * found).sum(1).min() >= 0.9999
        assert found == pytest.approx(ours, abs=1e-4)
        assert first == pytest.approx(ours[:1], abs=1e-4)
        assert facts["dimension"] == found.shape[1]
        vectors[side] = found
    order = (vectors["query"] @ vectors["document"].T).argsort()
    assert (order == (model.embed(QUERIES, "query") @ model.embed(LONG).T).argsort()).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "modernbert", "distilbert", "qwen3"])
def test_architectures(tmp_path: Path, kind: str, target: Any) -> None:
    model = make_model(save_backbone(kind, tmp_path / "b"), router="task-explicit")
    assert_same(model, model.export(tmp_path / "out", to=target), target)


@pytest.mark.slow
def test_what_the_backbone_was_published_with(tmp_path: Path, target: Any) -> None:
    prompts = {"query": "the report: ", "document": "Paris, "}
    save_published(
        "bert",
        tmp_path,
        pooling=["cls", "mean"],
        steps=[Dense(64, 24)],
        prompts=prompts,
        transformer={"do_lower_case": True},
    )
    model = make_model(tmp_path / "published", router="task-explicit")
    assert_same(model, model.export(tmp_path / "out", to=target), target)


@pytest.mark.slow
def test_minilm(tmp_path: Path, target: Any) -> None:
    model = UniMoER.from_backbone("minilm", router="task-explicit", device="cpu", dtype="float32")
    randomise(model, seed=3)
    model.change_task(model.task("embed").with_strength(0.02))
    assert_same(model, model.export(tmp_path / "out", to=target), target)


def test_prompts_outside_the_vector_are_refused(tmp_path: Path, target: Any) -> None:
    save_published("bert", tmp_path, include_prompt=False, prompts={"query": "the parcel: "})
    model = make_model(tmp_path / "published", router="task-explicit")
    with pytest.raises(InputError, match=r"leaves prompts out .* --to sentence-transformers"):
        model.export(tmp_path / "out", to=target)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("to", "package"), [("onnx", "onnxscript"), ("openvino", "openvino"), ("onnx", "onnx")]
)
def test_what_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any, package: str
) -> None:
    model = make_model(save_backbone("bert", tmp_path / "b"), router="task-explicit")
    for other in ("onnx", "onnxscript", "openvino"):
        monkeypatch.setitem(sys.modules, other, sys)  # there, as far as an import can tell
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*unimoer-rag\[{to}\]"):
        model.export(tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()
