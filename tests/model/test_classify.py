"""The head "class": a text or a pair to probabilities of labels, through model, engine and disk."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, make_model, randomise

from unimoer_rag.engine import Engine
from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import DEFAULT_TASKS, Task
from unimoer_rag.model.unimoer import UniMoER

NLI = Task("classify", "class", ("nli",), labels=("entails", "contradicts", "neutral"))


def classifier(path, *, trained: bool = True) -> UniMoER:
    experts = {name: ExpertSpec(2, 4) for name in ("shared", "embed", "rerank", "read", "nli")}
    return make_model(path, trained=trained, experts=experts, tasks=[*DEFAULT_TASKS, NLI])


@pytest.fixture(scope="module", params=["bert", "qwen3"])
def model(request, backbone_path) -> UniMoER:
    return classifier(backbone_path(request.param))


def by_hand(model: UniMoER, texts: list[str], pairs: list[str] | None) -> np.ndarray:
    """Probabilities one row at a time, from the last states, in numpy's float64."""
    task, head = model.task("classify"), model.heads["classify"]
    found = []
    for at, text in enumerate(texts):
        row = (
            model.rows.single([text], task)[0]
            if pairs is None
            else model.rows.pairs([(text, pairs[at])], task)[0]
        )
        with torch.inference_mode():
            states = model(model.collate([row])).hidden[0].double().numpy()
        if model.causal:
            features = states[-1]
        else:
            q = states[slice(*row.first)].mean(0)
            d = states[slice(*row.second)].mean(0) if pairs is not None else np.zeros_like(q)
            features = np.concatenate([q, d, q * d, abs(q - d)])
        w = {name: p.detach().double().numpy() for name, p in head.named_parameters()}
        x = torch.from_numpy(w["hidden.weight"] @ features + w["hidden.bias"])
        inner = (x * 0.5 * (1 + torch.erf(x / 2**0.5))).numpy()
        logits = w["out.weight"] @ inner + w["out.bias"]
        found.append(np.exp(logits) / np.exp(logits).sum())
    return np.array(found)


@pytest.mark.parametrize("paired", [False, True])
def test_probabilities_equal_an_independent_computation(model: UniMoER, paired: bool) -> None:
    pairs = TEXTS[::-1] if paired else None
    found = model.classify(TEXTS, pairs=pairs)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), 3)
    np.testing.assert_allclose(found, by_hand(model, TEXTS, pairs), atol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert np.ptp(found[:, 0]) > 1e-3  # the text decides
    logits = torch.from_numpy(model.classify(TEXTS, pairs=pairs, logits=True))
    np.testing.assert_allclose(logits.softmax(-1).numpy(), found, atol=1e-6)


def test_an_untrained_head_finds_every_label_as_likely(backbone_path) -> None:
    model = classifier(backbone_path("bert"), trained=False)
    np.testing.assert_array_equal(model.classify(TEXTS), np.full((4, 3), 1 / 3, np.float32))


def test_the_engine_gives_what_the_model_gives(model: UniMoER) -> None:
    with Engine(model) as engine:
        np.testing.assert_allclose(engine.classify(TEXTS), model.classify(TEXTS), atol=1e-5)
        pairs = TEXTS[::-1]
        expected = model.classify(TEXTS, pairs=pairs)
        np.testing.assert_allclose(engine.classify(TEXTS, pairs=pairs), expected, atol=1e-5)
        found = asyncio.run(engine.aclassify(TEXTS, pairs=pairs, logits=True))
        np.testing.assert_allclose(
            found, model.classify(TEXTS, pairs=pairs, logits=True), atol=1e-4
        )
        assert engine.classify([]).shape == (0, 3)


def test_a_checkpoint_brings_labels_and_head_back(model: UniMoER, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    again = UniMoER.from_pretrained(tmp_path, device="cpu", dtype="float32")
    assert again.task("classify").labels == NLI.labels
    np.testing.assert_allclose(again.classify(TEXTS), model.classify(TEXTS), atol=1e-6)


def test_a_configuration_of_other_labels_does_not_fit_the_head(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace('"neutral"', '"neutral", "other"'))
    with pytest.raises(CheckpointError, match=r"heads\.classify\.out"):
        UniMoER.from_pretrained(tmp_path, device="cpu", dtype="float32")


def test_labels_that_cannot_be(backbone_path) -> None:
    for labels in ((), ("only",), ("a", " ")):
        with pytest.raises(InputError, match="expected at least two, none empty"):
            Task("t", "class", ("nli",), labels=labels)
    with pytest.raises(InputError, match="'a' more than once"):
        Task("t", "class", ("nli",), labels=("a", "b", "a"))
    with pytest.raises(InputError, match="labels for the head 'class' alone"):
        Task("t", "cross", ("nli",), labels=("a", "b"))


def test_what_cannot_be_classified(model: UniMoER) -> None:
    with pytest.raises(InputError, match="'rerank' does not classify: its head is 'late'"):
        model.classify(TEXTS, task="rerank")
    with pytest.raises(InputError, match="'classify' does not score pairs: its head is 'class'"):
        model.score("a", TEXTS, task="classify")
    with pytest.raises(InputError, match="4 texts and 1 pairs"):
        model.classify(TEXTS, pairs=["one"])
    with pytest.raises(InputError, match="one string"):
        model.classify("a text")
    with pytest.raises(InputError, match="document 0 is empty"):
        model.classify([" "])


def test_a_second_reader_is_asked_by_name(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    model.add_expert("qa", ExpertSpec(2, 4))
    model.add_task(Task("qa", "span", ("qa",)))
    randomise(model, seed=5)
    first, second = (model.read("who?", TEXTS, task=task) for task in ("read", "qa"))
    assert [r.margin for r in first] != [r.margin for r in second]
    with Engine(model) as engine:
        found = engine.read("who?", TEXTS, task="qa")
        assert [r.margin for r in found] == pytest.approx([r.margin for r in second], abs=1e-4)
        # Which rows share a batch depends on the lanes that are free, and the last bits on that.
        again = asyncio.run(engine.aread("who?", TEXTS, task="qa"))
        assert [r.text for r in again] == [r.text for r in found]
        assert [r.margin for r in again] == pytest.approx([r.margin for r in found], abs=1e-4)
    with pytest.raises(InputError, match="'embed' does not read: its head is 'vector'"):
        model.read("who?", TEXTS, task="embed")
