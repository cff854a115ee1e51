"""Models of sentence-transformers as parts of a system, against the library and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model.tiny_models import TEXTS, save_backbone
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.lab.baselines.published import PublishedEmbedder, PublishedRanker
from unimoer_rag.lab.baselines.sentence_models import SentenceEmbedder

pytest.importorskip("sentence_transformers", reason="needs the extra baselines")

QUERY = "how long do refunds take?"
WHERE = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def embedder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mean pooling, and a prompt for queries."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    backbone = save_backbone("bert", tmp_path_factory.mktemp("bert"))
    transformer = Transformer(str(backbone))
    model = SentenceTransformer(
        modules=[transformer, Pooling(32, "mean")],
        device="cpu",
        prompts={"query": "question: ", "document": ""},
    )
    folder = tmp_path_factory.mktemp("embedder")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def save_cross_encoder(folder: Path, n_labels: int = 1) -> Path:
    backbone = save_backbone("bert", folder)
    config = AutoConfig.from_pretrained(str(backbone), num_labels=n_labels)
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_config(config)
    model.classifier.weight.data.normal_(std=3)
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def reranker_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("reranker"))


def test_vectors_are_the_librarys_and_the_mean_of_the_states(embedder_path) -> None:
    from sentence_transformers import SentenceTransformer

    embedder = SentenceEmbedder(embedder_path, **WHERE)
    library = SentenceTransformer(str(embedder_path), device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(str(embedder_path))
    states = AutoModel.from_pretrained(str(embedder_path)).eval()
    for side, prompt in (("query", "question: "), ("document", "")):
        vectors = embedder.embed(TEXTS, side)
        assert (vectors.shape, vectors.dtype) == ((len(TEXTS), embedder.dimension), np.float32)
        with torch.inference_mode():
            for text, vector in zip(TEXTS, vectors, strict=True):
                inputs = tokenizer(prompt + text, return_tensors="pt")
                mean = states(**inputs).last_hidden_state[0].mean(0)
                assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)
        encode = library.encode_query if side == "query" else library.encode_document
        assert vectors == pytest.approx(encode(TEXTS, normalize_embeddings=True), abs=1e-6)
    assert not np.allclose(embedder.embed(TEXTS, "query"), embedder.embed(TEXTS, "document"))


def test_an_embedder_of_ours_gives_the_librarys_vectors(embedder_path) -> None:
    library, ours = (kind(embedder_path, **WHERE) for kind in (SentenceEmbedder, PublishedEmbedder))
    assert ours.dimension == library.dimension
    for side in ("query", "document"):
        found = ours.embed(TEXTS, side)
        assert (found.shape, found.dtype) == ((len(TEXTS), ours.dimension), np.float32)
        assert found == pytest.approx(library.embed(TEXTS, side), abs=1e-5)
    told, known = ours.describe(), library.describe()
    assert told == {key: value for key, value in known.items() if key != "library"}


def test_a_cross_encoder_embeds_nothing(reranker_path) -> None:
    with pytest.raises(BackboneError, match="embeds nothing: expected a model that embeds"):
        PublishedEmbedder(reranker_path, **WHERE)


def test_scores_are_the_librarys_and_the_sigmoid_of_the_logit(reranker_path) -> None:
    from sentence_transformers import CrossEncoder

    ranker = PublishedRanker(reranker_path, **WHERE)
    scores = ranker.rank(QUERY, TEXTS)
    assert ranker.probabilistic
    assert (scores.shape, scores.dtype) == ((len(TEXTS),), np.float32)
    assert len(set(scores.tolist())) == len(TEXTS)
    tokenizer = AutoTokenizer.from_pretrained(str(reranker_path))
    model = AutoModelForSequenceClassification.from_pretrained(str(reranker_path)).eval()
    with torch.inference_mode():
        for text, score in zip(TEXTS, scores, strict=True):
            logit = model(**tokenizer(QUERY, text, return_tensors="pt")).logits[0, 0]
            assert score == pytest.approx(float(logit.sigmoid()), abs=1e-5)
    library = CrossEncoder(str(reranker_path), device="cpu")
    pairs = [(QUERY, text) for text in TEXTS]
    assert scores == pytest.approx(library.predict(pairs), abs=1e-6)
    # Models that name the identity give logits; here they are probabilities too.
    library = CrossEncoder(str(reranker_path), device="cpu", activation_fn=torch.nn.Identity())
    assert scores == pytest.approx(1 / (1 + np.exp(-library.predict(pairs))), abs=1e-5)


@pytest.mark.slow
def test_nothing_gives_nothing(embedder_path, reranker_path) -> None:
    embedder = SentenceEmbedder(embedder_path, **WHERE)
    assert embedder.embed([], "query").shape == (0, embedder.dimension)
    assert PublishedRanker(reranker_path, **WHERE).rank(QUERY, []).shape == (0,)


def test_precision_is_that_asked_for(embedder_path, reranker_path) -> None:
    short = {"device": "cpu", "dtype": "bfloat16"}
    for part in (
        SentenceEmbedder(embedder_path, **short),
        PublishedRanker(reranker_path, **short),
    ):
        [module] = part.modules
        # A router and a head are float32 in ours, whatever the backbone is.
        body = getattr(module, "backbone", module)
        assert {parameter.dtype for parameter in body.parameters()} == {torch.bfloat16}
        assert part.describe()["dtype"] == "bfloat16"
    vectors = SentenceEmbedder(embedder_path, **short).embed(TEXTS, "document")
    full = SentenceEmbedder(embedder_path, **WHERE).embed(TEXTS, "document")
    assert vectors.dtype == np.float32
    assert (vectors * full).sum(-1) == pytest.approx(1, abs=1e-2)


def test_a_description_tells_the_weights_apart(embedder_path, tmp_path) -> None:
    one = SentenceEmbedder(embedder_path, **WHERE).describe()
    assert (one["model"], one["prompts"]) == (str(embedder_path), {"query": "question: "})
    assert set(one["sha256"]) == {"model.safetensors"}
    other = PublishedRanker(save_cross_encoder(tmp_path / "a"), **WHERE).describe()
    assert other["sha256"] != one["sha256"]


def test_what_cannot_be_used_is_refused(embedder_path, tmp_path) -> None:
    with pytest.raises(BackboneError, match=r"gives 3 scores for a pair: expected .* one"):
        PublishedRanker(save_cross_encoder(tmp_path / "classes", 3), **WHERE)
    # transformers would put a head of random numbers on it, and every score would be noise.
    bare = save_backbone("bert", tmp_path / "bare")
    with pytest.raises(BackboneError, match="BertModel and no trained head of a cross-enc"):
        PublishedRanker(bare, **WHERE)
    with pytest.raises(InputError, match="downloads are pinned"):
        SentenceEmbedder("owner/name", **WHERE)
    with pytest.raises(InputError, match="takes no revision"):
        SentenceEmbedder(embedder_path, revision="a" * 40, **WHERE)
    broken = save_backbone("bert", tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"could not load .*broken.*safetensors weights"):
        SentenceEmbedder(broken, **WHERE)
