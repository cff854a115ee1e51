"""Late-interaction models score as where they were published: token by token, and summed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from late_folders import DIMENSION, dense_chain, save_multi_vector, save_pylate, save_stanford
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Normalize
from sentence_transformers.base.modules.dense import Dense
from tiny_models import TEXTS, randomise, save_backbone
from transformers import AutoTokenizer

from unimoer_rag.engine import Engine
from unimoer_rag.errors import BackboneError, DigestMismatchError, InputError
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks.late import LateState
from unimoer_rag.model.tasks.max_sim import MaxSimHead
from unimoer_rag.model.tasks.task import Task
from unimoer_rag.model.unimoer import UniMoER, load_own

QUERIES = [
    "how long do refunds take?",
    "Who wrote the report? A team of four, or people; and when, and in which capital of France?",
    "Paris",
]
WHERE = {"device": "cpu", "dtype": "float32"}


def states(model: UniMoER, texts: Sequence[str], side: Any) -> list[LateState]:
    return model.run(model.rows.single(texts, model.task("rerank"), side))


def assert_same(folder: Path) -> UniMoER:
    """Token vectors and scores are those of sentence-transformers."""
    theirs = MultiVectorEncoder(str(folder), device="cpu")
    ours = UniMoER.from_pretrained(folder, **WHERE)
    query, document = theirs.encode_query(QUERIES), theirs.encode_document(TEXTS)
    for side, texts, expected in (("query", QUERIES, query), ("document", TEXTS, document)):
        for vectors, state in zip(expected, states(ours, texts, side), strict=True):
            assert state.tokens.shape == vectors.shape
            assert float((vectors * state.tokens).sum(-1).min()) >= 0.9999
    scores = theirs.similarity(query, document).numpy()
    found = np.stack([ours.score(text, TEXTS, logits=True) for text in QUERIES])
    assert found == pytest.approx(scores, abs=1e-4)
    assert found.argsort(1).tolist() == scores.argsort(1).tolist()
    assert np.ptp(scores, axis=1).min() > 0.1  # scores that hardly differ would prove nothing
    return ours


FILLED = {"strategy": "fixed", "length": 18}
CHAIN = [
    Dense(32, 24, activation_function=torch.nn.GELU(), module_input_name="token_embeddings"),
    Normalize(module_input_name="token_embeddings"),
    Dense(
        24,
        DIMENSION,
        activation_function=torch.nn.Identity(),
        module_input_name="token_embeddings",
        use_residual=True,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"query_length": 12, "document_length": 10},
        {"prompts": {"query": "the report, ", "document": "Paris: "}},
        {"query_expansion": FILLED},
        {"query_expansion": FILLED | {"attend": True, "token": "[UNK]"}},
        {"query_expansion": {"strategy": "min", "length": 14}, "query_length": 20},
        {"similarity_fn_name": "meanmaxsim"},
        {"mask": {"skiplist_words": [",", "."], "skiplist_tasks": ["query", "document"]}},
        {"mask": {}},
        {"dense": []},
        {"dense": CHAIN},
        {"kind": "modernbert", "query_expansion": {"strategy": "fixed", "length": 30}},
        {"kind": "xlm-roberta", "query_expansion": FILLED, "prompts": {"query": "query: "}},
        {"kind": "mpnet", "query_expansion": FILLED | {"attend": True}},
        {"kind": "qwen3", "query_expansion": {"strategy": "fixed", "length": 60}},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_what_sentence_transformers_wrote(tmp_path: Path, options: dict[str, Any]) -> None:
    assert_same(save_multi_vector(tmp_path, **options))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"attend_to_expansion_tokens": True},
        {"do_query_expansion": False, "skiplist_words": None},
        {"known": False},
        {"prompts": {"query": "the report: ", "document": ""}},
        {"query_prefix": "", "document_prefix": ""},
        {"kind": "modernbert"},
    ],
    ids=lambda settings: "-".join(settings) or "plain",
)
def test_what_pylate_wrote(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert_same(save_pylate(tmp_path / "model", **settings))


@pytest.mark.slow
@pytest.mark.parametrize(
    "metadata", [{}, {"mask_punctuation": False, "attend_to_mask_tokens": True, "query_maxlen": 9}]
)
def test_what_colbert_wrote(tmp_path: Path, metadata: dict[str, Any]) -> None:
    assert_same(save_stanford(tmp_path / "model", **metadata))


@pytest.mark.slow
def test_loading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a projection among the backbone's tensors transformers would report."""
    folder = save_stanford(tmp_path / "model")
    capfd.readouterr()
    UniMoER.from_pretrained(folder, **WHERE)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_rows_are_framed_as_pylate_does_it(tmp_path: Path) -> None:
    """Against PyLate's own steps: cut one short, put the prefix behind `[CLS]`, fill up."""
    folder = save_pylate(tmp_path / "model")
    model, tokenizer = (
        UniMoER.from_pretrained(folder, **WHERE),
        AutoTokenizer.from_pretrained(folder),
    )
    sides: list[tuple[Any, list[str], int]] = [("query", QUERIES, 24), ("document", TEXTS, 30)]
    for side, texts, length in sides:
        prefix = tokenizer.get_vocab()["[Q] " if side == "query" else "[D] "]
        for text, row in zip(texts, rows(model, texts, side), strict=True):
            cut = tokenizer(text, truncation=True, max_length=length - 1).input_ids
            expected = [cut[0], prefix, *cut[1:]]
            missing = length - len(expected) if side == "query" else 0
            assert row.ids == [*expected, *[tokenizer.mask_token_id] * missing]
            assert (row.unattended, row.side) == (missing, side)
            whole = len(tokenizer(text).input_ids) + 1
            assert row.truncated == (whole > length)


def rows(model: UniMoER, texts: Sequence[str], side: Any) -> list[Row]:
    return model.rows.single(texts, model.task("rerank"), side)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pylate(tmp_path_factory.mktemp("late") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> UniMoER:
    return UniMoER.from_pretrained(folder, **WHERE)


def test_a_score_is_the_mean_of_the_sum(model: UniMoER) -> None:
    logits, scores = (model.score(QUERIES[0], TEXTS, logits=raw) for raw in (True, False))
    [query] = states(model, QUERIES[:1], "query")
    assert len(query.tokens) == 24
    assert scores == pytest.approx(np.clip(logits / 24, 0, 1), abs=1e-6)
    by_hand = [
        float((query.tokens @ document.tokens.T).amax(1).sum())
        for document in states(model, TEXTS, "document")
    ]
    assert logits == pytest.approx(by_hand, abs=1e-4)


def test_two_documents_are_read_as_one(model: UniMoER) -> None:
    head = model.heads["rerank"]
    assert isinstance(head, MaxSimHead)
    [query], documents = states(model, QUERIES[:1], "query"), states(model, TEXTS, "document")
    with torch.inference_mode():
        alone, both = head.compare(query, documents), head.together(query, documents, 2)
        tokens = torch.cat([documents[0].tokens, documents[1].tokens])
        one = replace(documents[0], tokens=tokens)
        torch.testing.assert_close(both[0, 1], head.compare(query, [one])[0])
    assert both.shape == (2, len(TEXTS))
    torch.testing.assert_close(both.diagonal(), alone[:2])
    assert head.together(query, [], 2).shape == (0, 0)


def test_a_vector_is_the_mean_of_the_tokens(model: UniMoER) -> None:
    assert model.dimension == DIMENSION
    for side in ("query", "document"):
        vectors = model.embed(TEXTS, side)  # type: ignore[arg-type]
        for vector, state in zip(vectors, states(model, TEXTS, side), strict=True):
            mean = state.tokens.mean(0)
            assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-6)


def test_one_text_on_either_side_is_two(model: UniMoER) -> None:
    """Even where both sides have the same tokens: what is skipped depends on the side."""
    text = "Paris, Berlin; and refunds."
    model_rows = [rows(model, [text], side)[0] for side in ("query", "document")]
    assert model_rows[0].key != model_rows[1].key
    engine = Engine.of(model)
    for _ in range(2):  # from the cache the second time
        assert engine.score(text, [text, *TEXTS], logits=True) == pytest.approx(
            model.score(text, [text, *TEXTS], logits=True), abs=1e-5
        )


@pytest.mark.slow
def test_a_side_without_marks_is_told_apart_too(tmp_path: Path) -> None:
    plain = save_pylate(
        tmp_path / "model", query_prefix="", document_prefix="", do_query_expansion=False
    )
    model = UniMoER.from_pretrained(plain, **WHERE)
    text = "Paris, Berlin; and refunds."
    one, other = (rows(model, [text], side)[0] for side in ("query", "document"))
    assert one.ids == other.ids
    engine = Engine.of(model)
    engine.score(text, [text])
    [kept] = [engine.cache.get(row) for row in [other]]
    assert kept is not None
    assert len(kept.tokens) == len(other.ids) - 3  # two commas' like and a full stop


@pytest.mark.slow
def test_rows_without_padding_give_the_same(folder: Path) -> None:
    packed = UniMoER.from_backbone(str(folder), **WHERE)
    packed.set_unpadded(True)
    plain = UniMoER.from_backbone(str(folder), **WHERE)
    for query in QUERIES:
        assert packed.score(query, TEXTS, logits=True) == pytest.approx(
            plain.score(query, TEXTS, logits=True), abs=1e-4
        )


@pytest.mark.slow
def test_a_checkpoint_on_it_comes_back(folder: Path, tmp_path: Path) -> None:
    tasks = [
        Task("embed", "token-mean", ("law",), max_tokens=30),
        Task("rerank", "maxsim", ("law",), max_tokens=30),
    ]
    trained = UniMoER.from_backbone(
        str(folder), experts={"law": ExpertSpec(rank=2, alpha=4)}, tasks=tasks, **WHERE
    )
    bare = trained.score(QUERIES[0], TEXTS, logits=True)
    randomise(trained)
    expected = trained.score(QUERIES[0], TEXTS, logits=True)
    assert not np.allclose(expected, bare, atol=1e-3)
    saved = trained.save_pretrained(tmp_path / "checkpoint")
    again = UniMoER.from_pretrained(saved, **WHERE)
    assert again.score(QUERIES[0], TEXTS, logits=True) == pytest.approx(expected, abs=1e-4)
    settings = folder / "config_sentence_transformers.json"
    content = settings.read_text()
    settings.write_text(content.replace('"query_length": 24', '"query_length": 25'))
    try:
        with pytest.raises(DigestMismatchError, match="would embed otherwise"):
            load_own(saved, **WHERE)  # not the one that is live
    finally:
        settings.write_text(content)


def test_what_it_is_not_asked_for(model: UniMoER, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no task 'read': it has embed, rerank"):
        model.read(QUERIES[0], TEXTS)
    with pytest.raises(InputError, match="takes no instruction"):
        model.embed(TEXTS, instruction="find: ")
    with pytest.raises(InputError, match="'maxsim', which answers as a late-interaction model"):
        UniMoER.from_backbone(
            str(save_backbone("bert", tmp_path)), tasks=[Task("rerank", "maxsim", ())], **WHERE
        )
    with pytest.raises(InputError, match="feedback"):
        Task("rerank", "maxsim", (), feedback=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"query_length": "many"}, "query_length='many': expected a number of tokens"),
        ({"document_length": 0}, "document_length=0"),
        ({"skiplist_words": "all"}, "skiplist_words='all': expected a list of words"),
        ({"query_expansion": {"strategy": "most"}}, "strategy 'fixed' or 'min'"),
        ({"query_expansion": {"strategy": "min"}}, "without length"),
        (
            {"query_expansion": {"strategy": "min", "length": 9000}},
            "up to 9,000 tokens, the",
        ),
        ({"query_prefix": 3}, "query_prefix=3: expected a text"),
        ({"model_type": "MultiVectorEncoder"}, "class 'pylate.models.Dense.Dense'"),
        (
            {"query_expansion": {"strategy": "min", "length": 9, "token": "[X]"}},
            r"filled up with \[X",
        ),
    ],
)
def test_damaged_settings_are_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BackboneError, match=said):
        UniMoER.from_pretrained(save_pylate(tmp_path / "model", known=False, **settings), **WHERE)


@pytest.mark.slow
def test_what_cannot_be_run_as_published_is_refused(tmp_path: Path) -> None:
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    cases: list[tuple[dict[str, Any], str]] = [
        ({"mask": {"skiplist_tasks": ["titles"]}}, "expected some of query, document"),
        ({"mask": {"keep_only_token_ids": [5]}}, "those of images alone"),
        ({"dense": [*dense_chain(), HierarchicalTokenPooling(2)]}, "HierarchicalTokenPooling"),
    ]
    for at, (options, said) in enumerate(cases):
        folder = save_multi_vector(tmp_path / str(at), **options)
        with pytest.raises(BackboneError, match=said):
            UniMoER.from_pretrained(folder, **WHERE)
    folder = save_stanford(tmp_path / "stanford")
    (folder / "artifact.metadata").write_text("[]")
    with pytest.raises(BackboneError, match="no JSON object"):
        UniMoER.from_pretrained(folder, **WHERE)


@pytest.mark.slow
def test_vectors_of_any_length_are_refused(tmp_path: Path) -> None:
    folder = save_multi_vector(tmp_path)
    modules = folder / "modules.json"
    listed = json.loads(modules.read_text())
    modules.write_text(json.dumps(listed[:-1]))
    with pytest.raises(BackboneError, match="expected a Normalize module"):
        UniMoER.from_pretrained(folder, **WHERE)
