"""Folders of sentence-transformers embed here as they do there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_folders import DOCUMENTS, QUERIES, save_published
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Dropout, LayerNorm, Normalize
from tiny_models import ALL_DECODERS, ALL_ENCODERS
from torch import nn

from unimoer_rag.model.io.published import read_published
from unimoer_rag.model.unimoer import UniMoER

PROMPTS = {"query": "who asks: ", "document": "Paris, and "}
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
Vectors = NDArray[np.float32]


def theirs(folder: Path) -> tuple[Vectors, Vectors]:
    """Embeddings of queries and documents by sentence-transformers, of unit length."""
    model = SentenceTransformer(str(folder), device="cpu")
    return (
        model.encode_query(QUERIES, normalize_embeddings=True),
        model.encode_document(DOCUMENTS, normalize_embeddings=True),
    )


def ours(folder: Path) -> tuple[Vectors, Vectors]:
    model = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    return model.embed(QUERIES, "query"), model.embed(DOCUMENTS, "document")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder that a test may change."""
    save_published("bert", tmp_path, steps=[Dense(32, 16), LayerNorm(16), Normalize()])
    return tmp_path / "published"


def assert_same(folder: Path) -> None:
    """Cosine of each vector to its twin, and the order of documents for each query."""
    (query, document), (own_query, own_document) = theirs(folder), ours(folder)
    assert own_query.shape == query.shape
    for one, other in ((query, own_query), (document, own_document)):
        assert (one * other).sum(-1).min() >= 0.9999
    np.testing.assert_array_equal(
        (-query @ document.T).argsort(1), (-own_query @ own_document.T).argsort(1)
    )
    # Vectors that hardly differ would prove nothing.
    assert np.ptp(query @ document.T) > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*ALL_ENCODERS, *ALL_DECODERS])
def test_every_architecture(tmp_path: Path, kind: str) -> None:
    decoder = kind in ALL_DECODERS
    save_published(
        kind,
        tmp_path,
        pooling="lasttoken" if decoder else "mean",
        left=decoder,
        steps=[Normalize()],
        prompts=PROMPTS,
    )
    assert_same(tmp_path / "published")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "llama-bidirectional"])
@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("pooling", [*MODES, ("cls", "mean", "lasttoken"), MODES])
def test_every_pooling(
    tmp_path: Path, kind: str, include_prompt: bool, pooling: str | Sequence[str]
) -> None:
    save_published(
        kind,
        tmp_path,
        pooling=pooling,
        include_prompt=include_prompt,
        left=kind != "bert",
        prompts=PROMPTS,
    )
    assert_same(tmp_path / "published")


STEPS: dict[str, Callable[[], list[nn.Module]]] = {
    "dense": lambda: [Dense(32, 48)],
    "gemma": lambda: [
        Dense(32, 96, bias=False, activation_function=nn.Identity()),
        Dense(96, 32, bias=False, activation_function=nn.Identity()),
        Normalize(),
    ],
    "residual": lambda: [Dense(32, 32, activation_function=nn.GELU(), use_residual=True)],
    "mapped residual": lambda: [Dense(32, 24, use_residual=True), Normalize()],
    "layer norm": lambda: [LayerNorm(32), Dropout(0.3), Normalize()],
    "twice": lambda: [Normalize(), Dense(32, 16, activation_function=nn.SiLU()), LayerNorm(16)],
}


@pytest.mark.slow
@pytest.mark.parametrize("steps", STEPS)
def test_every_step_behind_the_pooling(tmp_path: Path, steps: str) -> None:
    save_published("bert", tmp_path, steps=STEPS[steps](), prompts=PROMPTS)
    assert_same(tmp_path / "published")


def test_a_shorter_size_and_a_length_are_kept(tmp_path: Path) -> None:
    save_published(
        "bert", tmp_path, steps=[Normalize()], truncate_dim=12,
        transformer={"processor_kwargs": {"model_max_length": 24}},
    )  # fmt: skip
    folder = tmp_path / "published"
    assert_same(folder)
    model = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    assert model.dimension == 12
    assert model.task("embed").max_tokens == model.task("rerank").max_tokens == 24
    (row,) = model.rows.single(["word " * 90], model.task("embed"))
    assert (len(row.ids), row.truncated) == (24, True)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("pooling", [("mean",), ("cls", "max", "mean_sqrt_len_tokens")])
def test_a_folder_as_version_2_wrote_it(tmp_path: Path, pooling: tuple[str, ...]) -> None:
    save_published("qwen2", tmp_path, pooling=pooling, steps=[Dense(32 * len(pooling), 20)])
    folder = tmp_path / "published"
    old = ["Transformer", "Pooling", "Dense"]
    paths = ["", "1_Pooling", "2_Dense"]
    write_json(
        folder / "modules.json",
        [
            {
                "idx": at,
                "name": str(at),
                "path": where,
                "type": f"sentence_transformers.models.{kind}",
            }
            for at, (kind, where) in enumerate(zip(old, paths, strict=True))
        ],
    )
    flags = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens"}
    asked = {f"pooling_mode_{flags.get(mode, mode)}": True for mode in pooling}
    unasked = {f"pooling_mode_{flag}": False for flag in flags.values()}
    write_json(
        folder / "1_Pooling/config.json", {"word_embedding_dimension": 32, **unasked, **asked}
    )
    (folder / "sentence_bert_config.json").unlink()
    write_json(
        folder / "sentence_roberta_config.json", {"max_seq_length": 24, "do_lower_case": True}
    )
    (folder / "config_sentence_transformers.json").unlink()
    assert_same(folder)
    model = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    assert model.task("embed").max_tokens == 24
    np.testing.assert_array_equal(model.embed(["PARIS IS"]), model.embed(["paris is"]))


def test_prompts_are_the_folders_unless_others_are_given(tmp_path: Path) -> None:
    model = save_published(
        "bert", tmp_path, prompts={**PROMPTS, "passage": "?"}, default_prompt_name="passage"
    )
    own = UniMoER.from_pretrained(tmp_path / "published", device="cpu", dtype="float32")
    assert (own.query_instruction, own.document_instruction) == tuple(PROMPTS.values())
    unit = {"normalize_embeddings": True}
    for prompt in ("Berlin: ", ""):
        np.testing.assert_allclose(
            own.embed(QUERIES, "query", instruction=prompt),
            model.encode_query(QUERIES, prompt=prompt, **unit),
            atol=1e-5,
        )
    changed = UniMoER.from_backbone(
        str(tmp_path / "published"), device="cpu", dtype="float32", document_instruction="Berlin: "
    )
    np.testing.assert_allclose(
        changed.embed(DOCUMENTS), model.encode_document(DOCUMENTS, prompt="Berlin: ", **unit),
        atol=1e-5,
    )  # fmt: skip
    np.testing.assert_array_equal(changed.embed(QUERIES, "query"), own.embed(QUERIES, "query"))
    assert changed.checkpoint_digest != own.checkpoint_digest


def test_published_sizes_can_be_asked_for(tmp_path: Path) -> None:
    model = save_published("bert", tmp_path, steps=[Normalize()])
    folder = tmp_path / "published"
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "matryoshka_dimensions": [16, 8, 32, 64]})
    own = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    assert own.task("embed").dimensions == (8, 16)
    for size in (8, 16):
        expected = model.encode_query(QUERIES, truncate_dim=size, normalize_embeddings=True)
        np.testing.assert_allclose(
            own.embed(QUERIES, "query", dimensions=size), expected, atol=1e-5
        )


@pytest.mark.parametrize(
    ("prompts", "default", "expected"),
    [
        ({"query": "q: ", "document": "d: ", "passage": "p: "}, "passage", ("q: ", "d: ")),
        ({"query": "q: ", "document": None, "passage": "p: "}, "query", ("q: ", "")),
        ({"query": "q: ", "passage": "p: ", "corpus": "c: "}, None, ("q: ", "p: ")),
        ({"corpus": "c: "}, None, ("", "c: ")),
        ({"query": "q: ", "other": "o: "}, "other", ("q: ", "")),
        ({"other": "o: "}, "other", ("o: ", "o: ")),
        ({"other": "o: "}, None, ("", "")),
        ({}, None, ("", "")),
    ],
)
def test_which_prompt_goes_before_what(
    published: Path, prompts: dict[str, str | None], default: str | None, expected: tuple[str, str]
) -> None:
    write_json(
        published / "config_sentence_transformers.json",
        {"prompts": prompts, "default_prompt_name": default},
    )
    read = read_published(published)
    assert read is not None
    assert (read.query_prompt, read.document_prompt) == expected


def test_the_longest_row_is_the_folders(published: Path) -> None:
    def limit() -> int | None:
        read = read_published(published)
        assert read is not None
        return read.max_tokens

    tokenizer = published / "tokenizer_config.json"
    kept = json.loads(tokenizer.read_text())
    for given, expected in ((90, 90), (10**30, 256), (None, 256)):
        write_json(tokenizer, {**kept, "model_max_length": given})
        assert limit() == expected
    config = json.loads((published / "config.json").read_text())
    write_json(published / "config.json", {**config, "max_position_embeddings": None})
    assert limit() is None
    write_json(published / "sentence_bert_config.json", {"max_seq_length": 77})
    assert limit() == 77


@pytest.mark.slow
def test_real_weights_and_texts(minilm_path: Path) -> None:
    assert_same(minilm_path)
