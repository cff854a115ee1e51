"""Prefixes run once give what whole rows give, whatever follows them and whoever is beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from router_cases import set_pilots
from tiny_models import CORPUS, DECODERS, TEXTS, make_model

from unimoer_rag.errors import InputError
from unimoer_rag.model.prefix import PrefixKey, PrefixStates, can_keep_prefixes, encode_by_prefix
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.tasks import DEFAULT_TASKS, EMBED, READ, RERANK_CROSS, Task
from unimoer_rag.model.unimoer import UniMoER

SAFE = [name for name, router in ROUTERS.items() if router.cache_safe]
QUERY = "how long do refunds take after the parcel was received, and who wrote the report?"
TURNED = (
    EMBED,
    replace(RERANK_CROSS, document_first=True),
    replace(READ, document_first=True),
)
CLOSE = {"atol": 1e-5, "rtol": 0.0}


class Kept(dict[PrefixKey, PrefixStates]):
    """A store without bounds."""

    get_prefix = dict.get
    put_prefix = dict.__setitem__


def make_exact(path, **options) -> UniMoER:
    """A model whose backbone is in float64; the weights are large, and float32 differs by batch."""
    model = make_model(path, **options)
    model.backbone.double()
    return model


def plain(model: UniMoER, rows):
    """Whole rows, run as an encoder runs them."""
    batch = model.collate(rows)
    with torch.inference_mode():
        return model(batch).hidden.masked_fill(~batch.mask.unsqueeze(-1), 0)


def by_prefix(model: UniMoER, rows, store=None):
    with torch.inference_mode():
        return encode_by_prefix(model, rows, store)


@pytest.fixture(scope="module")
def turned(backbone_path) -> UniMoER:
    """A decoder whose joint rows begin with the document."""
    # Sparsegen's weights of a row change in their fourth digit with the experts of rows beside it.
    return make_exact(backbone_path("qwen3"), router="token", gate="softmax", tasks=TURNED)


def test_the_routers_that_say_so_are_the_safe_ones() -> None:
    assert set(SAFE) == {"token", "task-explicit", "switch", "x-lora", "rank-wise"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("router", SAFE)
def test_a_shared_query_gives_the_states_of_whole_rows(backbone_path, kind, router) -> None:
    model = make_exact(backbone_path(kind), router=router)
    rows = model.rows.pairs([(QUERY, text) for text in TEXTS], model.task("rerank-cross"))
    found = by_prefix(model, rows)
    assert found is not None
    torch.testing.assert_close(found, plain(model, rows), **CLOSE)
    silent = [replace(row, task=row.task.with_strength(0.0)) for row in rows]
    assert not torch.allclose(found, plain(model, silent), atol=1e-2)


def test_logits_in_float32_are_the_same(backbone_path) -> None:
    model = make_model(backbone_path("qwen3"), router="token")
    shared = model.score(QUERY, TEXTS, task="rerank-cross", logits=True)
    model.share_prefixes = False
    whole = model.score(QUERY, TEXTS, task="rerank-cross", logits=True)
    np.testing.assert_allclose(shared, whole, atol=1e-5, rtol=0)
    assert np.ptp(whole) > 0.1


def test_a_window_of_attention_slides_over_the_prefix(backbone_path) -> None:
    model = make_exact(backbone_path("mistral"), router="token")
    model.backbone.config.sliding_window = 6
    for layer in model.layers:
        layer.self_attn.sliding_window = 6
    task = model.task("rerank-cross")
    rows = model.rows.pairs([(QUERY, text) for text in TEXTS], task)
    rows += model.rows.pairs([(CORPUS[0], text) for text in TEXTS], task)
    found = by_prefix(model, rows)
    assert found is not None
    torch.testing.assert_close(found, plain(model, rows), **CLOSE)
    model.backbone.config.sliding_window = None
    assert not torch.allclose(found, plain(model, rows), atol=1e-3)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_any_mixture_of_rows_is_the_same(turned: UniMoER, picks) -> None:
    store = Kept()
    rows = []
    for kind, query, document in picks:
        if kind == 0:
            rows += turned.rows.single([TEXTS[document]], turned.task("embed"))
        else:
            task = turned.task("read" if kind == 1 else "rerank-cross")
            task = replace(task, document_first=kind < 3)
            rows += turned.rows.pairs([(CORPUS[query], TEXTS[document])], task)
    for _ in ("cold", "warm"):
        found = by_prefix(turned, rows, store)
        if any(row.task.document_first and row.n_prefix >= 8 for row in rows):
            assert found is not None
        if found is not None:
            torch.testing.assert_close(found, plain(turned, rows), **CLOSE)


@pytest.mark.parametrize("turn", [False, True], ids=["query-first", "document-first"])
def test_reading_finds_the_same_spans(backbone_path, turn) -> None:
    tasks = TURNED if turn else DEFAULT_TASKS
    model = make_exact(backbone_path("qwen3"), router="token", tasks=tasks)
    store = Kept()
    task = model.task("read")
    rows = model.rows.pairs([(QUERY, text) for text in CORPUS], task)
    shared = model.run(rows, store)
    again = model.run(rows, store)
    assert len(store) == (len(CORPUS) if turn else 1)
    readings = model.read(QUERY, CORPUS)
    model.share_prefixes = False
    for whole, one, other in zip(model.run(rows), shared, again, strict=True):
        for field in ("start", "end", "null"):
            torch.testing.assert_close(
                getattr(one, field), getattr(whole, field), atol=1e-5, rtol=0
            )
            torch.testing.assert_close(
                getattr(other, field), getattr(whole, field), atol=1e-5, rtol=0
            )
    for one, whole in zip(readings, model.read(QUERY, CORPUS), strict=True):
        assert (one.text, one.start, one.end) == (whole.text, whole.start, whole.end)
        assert one.probability == pytest.approx(whole.probability, abs=1e-5)


def test_only_what_is_safe_and_worth_it_is_shared(backbone_path, turned) -> None:
    qwen = make_exact(backbone_path("qwen3"))
    pairs = [(QUERY, text) for text in TEXTS]
    unsafe = qwen.rows.pairs(pairs, qwen.task("rerank-cross"))
    assert by_prefix(qwen, unsafe, Kept()) is None  # the router reads whole rows
    silent = [replace(row, task=row.task.with_strength(0.0)) for row in unsafe]
    found = by_prefix(qwen, silent)  # and is not asked here
    assert found is not None
    torch.testing.assert_close(found, plain(qwen, silent), **CLOSE)
    first = turned.rows.pairs(pairs, replace(RERANK_CROSS, document_first=False))
    assert by_prefix(turned, first[:1], Kept()) is None  # nothing to share it with
    documents = turned.rows.pairs(pairs, turned.task("rerank-cross"))
    assert by_prefix(turned, documents) is None  # nobody keeps them
    store = Kept()
    assert by_prefix(turned, documents, store) is not None
    assert len(store) == len(TEXTS)
    encoder = make_model(backbone_path("bert"), router="token")
    assert not encoder.share_prefixes


def test_backbones_with_other_memories_are_left_alone(backbone_path) -> None:
    model = make_model(backbone_path("llama"), trained=False)
    config = model.backbone.config
    assert can_keep_prefixes(model.backbone, causal=True)
    assert not can_keep_prefixes(model.backbone, causal=False)
    config.layer_types = ["full_attention", "linear_attention", "full_attention"]
    assert not can_keep_prefixes(model.backbone, causal=True)
    config.layer_types = None
    config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert not can_keep_prefixes(model.backbone, causal=True)


def test_similarity_routing_reads_whole_rows(backbone_path) -> None:
    model = make_model(backbone_path("qwen3"), router="similarity")
    set_pilots(model)
    rows = model.rows.pairs([(QUERY, text) for text in TEXTS], model.task("rerank-cross"))
    assert by_prefix(model, rows) is None


def test_embedded_queries_share_their_instruction(backbone_path) -> None:
    instruction = "Instruct: find the passage that answers the question.\nQuery: "
    model = make_model(backbone_path("qwen3"), router="token", query_instruction=instruction)
    rows = model.rows.single(TEXTS, model.task("embed"), "query")
    assert rows[0].n_prefix == model.rows.count(instruction)
    assert by_prefix(model, rows) is not None
    shared = model.embed(TEXTS, "query")
    model.share_prefixes = False
    np.testing.assert_allclose(shared, model.embed(TEXTS, "query"), atol=1e-5)


def test_keys_tell_apart_what_changes_the_states(turned: UniMoER) -> None:
    pairs = [(QUERY, TEXTS[1])]
    task = turned.task("rerank-cross")
    store = Kept()
    for other in (task, task.with_strength(0.5), replace(task, experts=("shared",))):
        rows = turned.rows.pairs(pairs, other)
        for _ in range(2):
            found = by_prefix(turned, rows, store)
            torch.testing.assert_close(found, plain(turned, rows), **CLOSE)
    assert len(store) == 3
    (states,) = {key: value for key, value in store.items() if key.strength == 0.5}.values()
    # 3 layers of 2 heads of 8 numbers, keys and values, and 32 numbers of the last state.
    assert states.nbytes == states.n_tokens * 8 * (3 * 2 * 8 * 2 + 32)


def test_documents_first_are_cut_at_one_place(turned: UniMoER) -> None:
    task = turned.task("rerank-cross")
    long = "report " * 2000
    pairs = [("who?", long), ("who wrote it " * 100, long), (long, "refunds"), ("who?", "refunds")]
    rows = turned.rows.pairs(pairs, task)
    assert rows[0].ids[: rows[0].n_prefix] == rows[1].ids[: rows[1].n_prefix]
    assert [row.truncated for row in rows] == [True, True, True, False]
    assert all(len(row.ids) <= task.max_tokens for row in rows)
    assert len(rows[1].ids) == len(rows[2].ids) == task.max_tokens
    for row, (query, document) in zip(rows[2:], pairs[2:], strict=True):
        decode = turned.tokenizer.decode
        assert query.startswith(decode(row.ids[slice(*row.first)]))
        assert decode(row.ids[slice(*row.second)]) == document
        assert row.n_prefix == row.first[0] > row.second[1]


def test_documents_first_are_for_joint_heads_of_decoders(backbone_path) -> None:
    with pytest.raises(InputError, match="'embed' has the head 'vector' and document_first"):
        Task("embed", "vector", (), document_first=True)
    with pytest.raises(InputError, match="'read' puts the document first, which serves decoders"):
        make_model(backbone_path("bert"), tasks=TURNED[2:])


def test_a_checkpoint_keeps_the_order(turned: UniMoER, tmp_path) -> None:
    turned.save_pretrained(tmp_path / "turned")
    again = UniMoER.from_pretrained(tmp_path / "turned", device="cpu", dtype="float32")
    assert again.task("read").document_first
    np.testing.assert_allclose(
        again.score(QUERY, TEXTS, task="rerank-cross"),
        turned.score(QUERY, TEXTS, task="rerank-cross"),
        atol=1e-5,
    )
