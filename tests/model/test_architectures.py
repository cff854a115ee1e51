"""Every supported architecture: loaded, wrapped, and equal to its backbone until trained."""

from __future__ import annotations

import pytest
import torch
from tiny_models import ARCHITECTURES, DECODERS, TEXTS, make_model, randomise
from torch import Tensor
from transformers import AutoModel

from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER


def bare_hidden(path, batch) -> Tensor:
    backbone = AutoModel.from_pretrained(str(path), dtype=torch.float32).eval()
    kwargs = {} if batch.types is None else {"token_type_ids": batch.types}
    with torch.inference_mode():
        return backbone(
            input_ids=batch.ids, attention_mask=batch.mask.long(), **kwargs
        ).last_hidden_state


def batch_of(model: UniMoER, strength: float = 1.0):
    tasks = [task.with_strength(strength) for task in model.tasks.values()]
    rows = []
    for task in tasks:
        if task.joint:
            rows += model.rows.pairs([(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[3])], task)
        else:
            rows += model.rows.single(TEXTS, task)
    return model.collate(rows)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_untrained_model_equals_its_backbone_bit_for_bit(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind), trained=False)
    batch = batch_of(model)
    with torch.inference_mode():
        states = model(batch)
    assert len(states.weights) == model.n_layers  # the experts did take part
    assert torch.equal(states.hidden, bare_hidden(backbone_path(kind), batch))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_strength_zero_equals_the_backbone_bit_for_bit(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind))
    silent = batch_of(model, strength=0.0)
    with torch.inference_mode():
        states = model(silent)
        loud = model(batch_of(model)).hidden
    assert states.experts == ()
    expected = bare_hidden(backbone_path(kind), silent)
    assert torch.equal(states.hidden, expected)
    assert not torch.allclose(loud, expected, atol=1e-2)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_silent_row_beside_loud_ones_equals_the_backbone(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind))
    embed = model.task("embed")
    rows = model.rows.single(TEXTS[:2], embed.with_strength(0.0))
    batch = model.collate([*rows, *model.rows.single(TEXTS[2:], embed)])
    with torch.inference_mode():
        states = model(batch)
    expected = bare_hidden(backbone_path(kind), batch)
    assert torch.equal(states.hidden[:2], expected[:2])
    assert not torch.allclose(states.hidden[2:], expected[2:], atol=1e-2)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_task_runs_and_every_linear_layer_is_routed(backbone_path, kind) -> None:
    model = randomise(make_model(backbone_path(kind), trained=False))
    assert model.causal is (kind in DECODERS)
    per_layer = {"modernbert": 4, "bert": 6, "xlm-roberta": 6}.get(kind, 7)
    assert len(model.routed_layers()) == per_layer * model.n_layers
    vectors = model.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 32)
    torch.testing.assert_close(torch.tensor(vectors).norm(dim=-1), torch.ones(len(TEXTS)))
    for task in ("rerank", "rerank-cross"):
        scores = model.score(TEXTS[0], TEXTS, task=task)
        assert ((scores >= 0) & (scores <= 1)).all()
        logits = model.score(TEXTS[0], TEXTS, task=task, logits=True)
        torch.testing.assert_close(torch.tensor(logits).sigmoid(), torch.tensor(scores))
    for reading, passage in zip(model.read("who wrote it?", TEXTS), TEXTS, strict=True):
        assert reading.text == passage[reading.start : reading.end] == reading.text.strip()
        assert 0 <= reading.probability <= 1


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_segments_are_where_the_rows_say(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind), trained=False)
    query, document = "who wrote the report?", "the library opens at nine"
    (row,) = model.rows.pairs([(query, document)], model.task("read"))
    decode = model.tokenizer.decode
    assert decode(row.ids[slice(*row.first)]).strip().replace(" ?", "?") == query
    assert decode(row.ids[slice(*row.second)]).strip() == document
    assert len(row.offsets) == row.second[1] - row.second[0]
    assert document[row.offsets[0][0] : row.offsets[-1][1]].strip() == document
    if kind not in DECODERS:
        # Decoders mark a pair in words; encoders have it as their tokenizer builds it.
        assert row.ids == model.tokenizer(query, document)["input_ids"]
        (single,) = model.rows.single([query], model.task("embed"))
        assert single.ids == model.tokenizer(query)["input_ids"]


def test_a_task_without_experts_beside_loud_rows_is_the_backbone(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    rows = model.rows.single(TEXTS[:2], Task("bare", "vector", ()))
    batch = model.collate([*rows, *model.rows.single(TEXTS[2:], model.task("embed"))])
    with torch.inference_mode():
        states = model(batch)
    assert all((weights[:2] == 0).all() for weights in states.weights)
    assert torch.equal(states.hidden[:2], bare_hidden(backbone_path("bert"), batch)[:2])
