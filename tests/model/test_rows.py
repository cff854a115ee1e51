from __future__ import annotations

import math

import numpy as np
import pytest
from tiny_models import ARCHITECTURES, TEXTS, make_model
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.model.rows import RowMaker
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.tasks.jobs import embedding, reading, scoring
from unimoer_rag.model.unimoer import UniMoER

HUGE, LONG = "report " * 100_000, "report " * 2_000
INVISIBLE = "\u200b\u200d\u2060"


def test_empty_texts_are_refused_by_position(model: UniMoER) -> None:
    for blank in ("", "   ", "\n\t"):
        with pytest.raises(InputError, match="document 1 is empty: give text"):
            model.embed(["fine", blank])
        with pytest.raises(InputError, match="the query is empty"):
            model.score(blank, ["fine"])
        with pytest.raises(InputError, match="document 2 is empty"):
            model.read("fine", ["fine", "fine", blank])


def test_other_things_than_strings_are_refused(model: UniMoER) -> None:
    with pytest.raises(InputError, match="document 0 is a NoneType, expected a string"):
        model.embed([None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="the query is a int, expected a string"):
        model.score(3, ["fine"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="document 1 is a bytes"):
        model.read("fine", ["fine", b"fine"])  # type: ignore[list-item]


def test_one_string_is_not_a_list_of_letters(model: UniMoER) -> None:
    with pytest.raises(InputError, match=r"texts is one string, expected a list .*'refunds'"):
        model.embed("refunds")
    with pytest.raises(InputError, match="documents is one string"):
        model.score("who?", "refunds")
    with pytest.raises(InputError, match="passages is one string"):
        model.read("who?", "refunds")


def test_unknown_tasks_sides_and_heads_are_named(model: UniMoER) -> None:
    with pytest.raises(
        InputError, match="no task 'nope': it has embed, rerank, rerank-cross, read"
    ):
        model.score("who?", ["refunds"], task="nope")
    with pytest.raises(InputError, match="does not score pairs: its head is 'vector'"):
        model.score("who?", ["refunds"], task="embed")
    with pytest.raises(InputError, match="unknown side 'left'"):
        model.embed(["refunds"], side="left")  # type: ignore[arg-type]


def test_nothing_gives_nothing(model: UniMoER) -> None:
    assert model.embed([]).shape == (0, 32)
    assert model.embed([]).dtype == np.float32
    assert model.score("who?", []).shape == (0,)
    assert model.score("who?", [], task="rerank-cross").shape == (0,)
    assert model.read("who?", []) == []


def test_a_lone_surrogate_counts_as_an_unknown_character(model: UniMoER) -> None:
    broken, whole = "refunds \ud800 take", "refunds \ufffd take"
    np.testing.assert_array_equal(model.embed([broken]), model.embed([whole]))
    assert np.isfinite(model.score(broken, [broken])).all()
    (found,) = model.read("refunds \udfff", [broken])
    assert found.text == broken[found.start : found.end]


@pytest.mark.slow
def test_long_texts_are_cut_and_counted(model: UniMoER) -> None:
    job = embedding(model, [HUGE, "refunds"], "document")
    assert job.n_truncated == 1
    assert len(job.rows[0].ids) == 256
    assert scoring(model, "refunds", [LONG, LONG], "rerank", logits=False).n_truncated == 2
    assert reading(model, "refunds", [LONG, "refunds"]).n_truncated == 1
    assert np.isfinite(model.embed([LONG])).all()
    (found,) = model.read("who?", [HUGE])
    assert 0 <= found.start <= found.end < 512 * 7


def test_a_long_query_leaves_half_of_a_pair_to_the_document(model: UniMoER) -> None:
    task = model.task("rerank-cross")
    (row,) = model.rows.pairs([(LONG, LONG)], task)
    limit = min(task.max_tokens, model.rows.max_positions)
    assert len(row.ids) == limit
    assert row.truncated
    query, document = (end - start for start, end in (row.first, row.second))
    assert 0 <= document - query <= 1
    (short,) = model.rows.pairs([(LONG, "refunds")], task)
    assert short.truncated
    assert short.second[1] - short.second[0] == len(short.offsets) > 0
    assert np.isfinite(model.score(LONG, ["refunds", LONG], task="rerank-cross")).all()
    assert len(model.read(LONG, ["refunds", LONG])) == 2


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_text_without_tokens_is_encoded_by_its_frame(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind))
    texts = [INVISIBLE, "refunds"]
    vectors = model.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-5)
    for query in ("refunds", INVISIBLE):
        for task in ("rerank", "rerank-cross"):
            assert np.isfinite(model.score(query, texts, task=task, logits=True)).all()
            assert np.isfinite(model.score(query, [INVISIBLE], task=task, logits=True)).all()
        found, other = model.read(query, texts)
        assert 0 <= found.no_answer <= 1
        assert math.isfinite(other.margin)


def test_a_passage_without_tokens_has_no_answer(bert: UniMoER) -> None:
    assert bert.rows.count(INVISIBLE) == 0
    (found,) = bert.read("who?", [INVISIBLE])
    assert (found.text, found.no_answer, found.margin) == ("", 1.0, -math.inf)


def test_rows_never_exceed_their_limit(backbone_path) -> None:
    model = make_model(backbone_path("qwen3"), query_instruction="Given a question, find: " * 2)
    task = Task("embed", "vector", ("embed",), max_tokens=64)
    (row,) = model.rows.single([LONG], task, "query")
    assert len(row.ids) == 64
    assert row.first[0] == model.rows.count("Given a question, find: " * 2)
    (document,) = model.rows.single([LONG], task, "document")
    assert document.first[0] == 0
    with pytest.raises(InputError, match=r"keeps 16 tokens, all taken by the \d+ around the text"):
        model.rows.single(["who?"], Task("embed", "vector", (), max_tokens=16), "query")
    with pytest.raises(InputError, match="raise its max_tokens"):
        model.rows.pairs([("who?", "me")], Task("read", "span", (), max_tokens=16))


def test_the_instruction_goes_before_embedded_queries_only(backbone_path) -> None:
    plain = make_model(backbone_path("bert"), trained=False)
    model = make_model(backbone_path("bert"), trained=False, query_instruction="who wrote ")
    np.testing.assert_array_equal(model.embed(TEXTS), plain.embed(TEXTS))
    np.testing.assert_array_equal(model.score("refunds", TEXTS), plain.score("refunds", TEXTS))
    np.testing.assert_allclose(
        model.embed(["refunds"], "query"), plain.embed(["who wrote refunds"]), atol=1e-6
    )


def test_the_tokenizers_own_settings_stay(backbone_path) -> None:
    model = make_model(backbone_path("bert"), trained=False)
    model.tokenizer(TEXTS, truncation=True, max_length=4, padding=True)
    assert len(model.rows.single([TEXTS[1]], model.task("embed"))[0].ids) > 4


def test_a_decoder_without_an_end_token_is_refused() -> None:
    words = {"alpha": 0, "beta": 1, "?": 2}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="?"))
    )
    RowMaker(tokenizer, causal=False, max_positions=64)
    with pytest.raises(BackboneError, match="no end-of-text token"):
        RowMaker(tokenizer, causal=True, max_positions=64)
