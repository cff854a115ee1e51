"""What a text gives depends on nothing beside it: batch, order, padding, task mix, threads."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tiny_models import ARCHITECTURES, TEXTS, make_model

from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.unimoer import UniMoER

MANY = [" ".join(TEXTS[i % 4].split()[: 1 + i % 7]) for i in range(24)]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_embeddings_do_not_depend_on_the_batch(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind))
    whole = model.embed(MANY)
    single = np.concatenate([model.embed([text]) for text in MANY])
    np.testing.assert_allclose(whole, single, atol=2e-5)


# Token states kept for late interaction are float16: a rounding apart, scaled by the head.
HALF = 2e-3


def test_results_come_in_the_order_of_the_input(model: UniMoER) -> None:
    order = random.Random(0).sample(range(len(MANY)), len(MANY))
    shuffled = [MANY[i] for i in order]
    np.testing.assert_allclose(model.embed(shuffled), model.embed(MANY)[order], atol=2e-5)
    for task in ("rerank", "rerank-cross"):
        np.testing.assert_allclose(
            model.score("who?", shuffled, task=task, logits=True),
            model.score("who?", MANY, task=task, logits=True)[order],
            atol=HALF,
        )
    straight = model.read("who wrote it?", MANY)
    for at, reading in zip(order, model.read("who wrote it?", shuffled), strict=True):
        assert reading.text == straight[at].text
        assert reading.margin == pytest.approx(straight[at].margin, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_tasks_in_one_batch_equal_separate_batches(backbone_path, kind, router) -> None:
    model = make_model(backbone_path(kind), router=router)
    groups = [
        model.rows.single(TEXTS, model.task("embed")),
        model.rows.single(TEXTS, model.task("rerank")),
        model.rows.pairs([("who wrote it?", t) for t in TEXTS], model.task("rerank-cross")),
        model.rows.pairs([("who wrote it?", t) for t in TEXTS], model.task("read")),
    ]
    mixed = model.run([row for group in zip(*groups, strict=True) for row in group])
    for at, group in enumerate(groups):
        for together, apart in zip(mixed[at::4], model.run(group), strict=True):
            for name in ("tokens", "pooled", "ids", "start", "end", "null"):
                if hasattr(apart, name):
                    torch.testing.assert_close(
                        getattr(together, name), getattr(apart, name), atol=HALF, rtol=1e-4
                    )
            if isinstance(apart, torch.Tensor):
                torch.testing.assert_close(together, apart, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["qwen3", "mistral", "llama"])
def test_decoders_pool_the_last_real_token(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind))
    rows = model.rows.single(TEXTS, model.task("embed"))
    assert {row.ids[-1] for row in rows} == {model.tokenizer.eos_token_id}
    batch = model.collate(rows)
    with torch.inference_mode():
        hidden = model(batch).hidden
    for at, row in enumerate(rows):
        last = hidden[at, len(row.ids) - 1]
        expected = (last / last.norm()).numpy()
        np.testing.assert_allclose(model.embed([TEXTS[at]])[0], expected, atol=2e-5)


def test_encoders_pool_the_mean_of_real_tokens(bert: UniMoER) -> None:
    rows = bert.rows.single(TEXTS, bert.task("embed"))
    with torch.inference_mode():
        hidden = bert(bert.collate(rows)).hidden
    for at, row in enumerate(rows):
        mean = hidden[at, : len(row.ids)].mean(0)
        np.testing.assert_allclose(
            bert.embed([TEXTS[at]])[0], (mean / mean.norm()).numpy(), atol=2e-5
        )


@pytest.mark.slow
def test_eight_threads_with_different_tasks_get_the_sequential_results(model: UniMoER) -> None:
    def embed(texts: list[str]) -> np.ndarray:
        return model.embed(texts)

    def late(texts: list[str]) -> np.ndarray:
        return model.score(texts[0], texts, logits=True)

    def cross(texts: list[str]) -> np.ndarray:
        return model.score(texts[0], texts, task="rerank-cross", logits=True)

    def read(texts: list[str]) -> np.ndarray:
        return np.array([[r.start, r.end, r.margin] for r in model.read(texts[0], texts)])

    calls = [
        (kind, MANY[at : at + 6]) for at in range(0, 18, 3) for kind in (embed, late, cross, read)
    ]
    expected = [call(texts) for call, texts in calls]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda c: c[0](c[1]), calls * 3))
    for got, want in zip(found, expected * 3, strict=True):
        np.testing.assert_array_equal(got, want)
