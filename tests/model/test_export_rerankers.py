"""Rerankers are exported as folders of which sentence-transformers makes the same of pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from late_folders import save_multi_vector, save_pylate, save_stanford
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from test_cross_published import save_chain, save_cross
from tiny_models import TEXTS, make_model, save_backbone

from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks.task import RERANK, RERANK_CROSS, Task
from unimoer_rag.model.unimoer import UniMoER, load_own

QUERIES = ["how long do refunds take?", "who wrote the report, in 1987?", "Paris!"]
DOCUMENTS = [*TEXTS, "we receive the parcel; Paris is open, and Berlin stays shut.", "Berlin"]
LONG = " ".join(TEXTS * 4)
WHERE: dict[str, Any] = {"device": "cpu", "dtype": "float32"}


def expert_on(folder: Path, head: str, **task: Any) -> UniMoER:
    """A published reranker with an expert that moves its answers."""
    made = Task("rerank", head, ("rerank",), **task)
    model = make_model(
        folder, experts={"rerank": ExpertSpec(rank=4, alpha=8)}, tasks=[made], router="sequence"
    )
    frozen = load_own(folder, **WHERE)
    moved = model.score(QUERIES[0], DOCUMENTS, logits=True)
    assert np.abs(moved - frozen.score(QUERIES[0], DOCUMENTS, logits=True)).max() > 0.02
    return model


def assert_scores(model: UniMoER, folder: Path, documents: list[str], task: str = "rerank") -> None:
    """MaxSim of the encoder that the folder holds."""
    theirs = MultiVectorEncoder(str(folder), device="cpu")
    states = theirs.encode_document(documents)
    for query in QUERIES:
        scores = theirs.similarity(theirs.encode_query([query]), states)[0].numpy()
        logits = model.score(query, documents, task=task, logits=True)
        assert logits == pytest.approx(scores, abs=1e-4)
        assert (logits.argsort() == scores.argsort()).all()
        assert np.ptp(scores) > 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"similarity_fn_name": "meanmaxsim", "prompts": {"query": "Paris ", "document": "the "}},
        {"query_length": 9, "document_length": 20, "do_lower_case": True},
        {"query_expansion": {"strategy": "fixed", "length": 24, "attend": False}},
        {"mask": {"skiplist_words": [".", "the"], "skiplist_tasks": ["query", "document"]}},
    ],
)
def test_late_interaction_of_sentence_transformers(tmp_path: Path, options: dict[str, Any]) -> None:
    model = expert_on(save_multi_vector(tmp_path, **options), "maxsim")
    out = model.export(tmp_path / "out", to="multi-vector")
    assert_scores(model, out, [*DOCUMENTS, LONG])
    again = load_own(out, **WHERE)
    assert again.score(QUERIES[0], DOCUMENTS, logits=True) == pytest.approx(
        model.score(QUERIES[0], DOCUMENTS, logits=True), abs=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("save", [save_pylate, save_stanford])
def test_late_interaction_of_others(tmp_path: Path, save: Any) -> None:
    """Their markers become tokens that the tokenizer takes whole."""
    model = expert_on(save(tmp_path / "model"), "maxsim")
    assert_scores(model, model.export(tmp_path / "out", to="multi-vector"), [*DOCUMENTS, LONG])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "qwen3"])
def test_token_states_of_a_head_of_ours(tmp_path: Path, kind: str) -> None:
    """The folder compares them by MaxSim: the very tokens that the head compares."""
    task = replace(RERANK, feedback=0.5)
    model = make_model(save_backbone(kind, tmp_path / "b"), tasks=[task], router="task-explicit")
    out = model.export(tmp_path / "out", to="multi-vector", plain_maxsim=True)
    theirs = MultiVectorEncoder(str(out), device="cpu")
    documents = [*DOCUMENTS, LONG]
    for query in QUERIES:
        rows = model.rows.compared(query, documents, task)
        asker, *others = model.run(rows)
        asked = asker.tokens[asker.worded].float()
        (found,) = theirs.encode_query([query])
        assert np.asarray(found) == pytest.approx(asked.numpy(), abs=1e-3)  # ours are float16
        wanted = [float((asked @ o.tokens.float().T).amax(1).sum()) for o in others]
        scores = theirs.similarity(theirs.encode_query([query]), theirs.encode_document(documents))
        assert scores[0].numpy() == pytest.approx(wanted, abs=1e-2)
        assert len(set(np.round(wanted, 3))) > 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "modernbert", "mpnet"])
def test_classification_heads(tmp_path: Path, kind: str) -> None:
    model = expert_on(save_cross(tmp_path / "model", kind), "cross-encoder", max_tokens=48)
    out = model.export(tmp_path / "out", to="cross-encoder")
    assert_pairs(model, out)
    again = load_own(out, **WHERE)
    assert again.score(QUERIES[0], DOCUMENTS) == pytest.approx(
        model.score(QUERIES[0], DOCUMENTS), abs=1e-4
    )


@pytest.mark.slow
def test_modules_that_end_in_one_score(tmp_path: Path) -> None:
    model = expert_on(save_chain(tmp_path, "mean"), "cross-encoder", max_tokens=40)
    assert_pairs(model, model.export(tmp_path / "out", to="cross-encoder"))


@pytest.mark.slow
def test_the_prompt_of_a_cross_encoder(tmp_path: Path) -> None:
    bare = str(save_cross(tmp_path / "bare"))
    library = CrossEncoder(
        bare, device="cpu", prompts={"ask": "the report: "}, default_prompt_name="ask"
    )
    library.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    model = expert_on(tmp_path / "model", "cross-encoder", max_tokens=48)
    assert_pairs(model, model.export(tmp_path / "out", to="cross-encoder"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen3", "llama", "qwen2", "gemma3"])
def test_a_head_of_ours_on_a_decoder(tmp_path: Path, kind: str) -> None:
    """The words around a pair are the tokenizer's, the two maps of the head are modules."""
    task = replace(RERANK_CROSS, max_tokens=96)
    model = make_model(save_backbone(kind, tmp_path / "b"), tasks=[task], router="task-explicit")
    out = model.export(tmp_path / "out", to="cross-encoder")
    assert_pairs(model, out, task="rerank-cross")


def assert_pairs(model: UniMoER, folder: Path, task: str = "rerank") -> None:
    """Logits, probabilities and order, also of a document that is too long."""
    theirs = CrossEncoder(str(folder), device="cpu")
    documents = [*DOCUMENTS, LONG]
    for query in QUERIES:
        pairs = [(query, document) for document in documents]
        expected = theirs.predict(pairs, activation_fn=torch.nn.Identity())
        logits = model.score(query, documents, task=task, logits=True)
        assert logits == pytest.approx(expected, abs=1e-4)
        assert (logits.argsort() == expected.argsort()).all()
        assert theirs.predict(pairs) == pytest.approx(
            model.score(query, documents, task=task), abs=1e-4
        )
        assert np.ptp(expected) > 0.02
