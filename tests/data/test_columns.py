"""Rows in every layout that is read: what becomes of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.data import Labelled
from unimoer_rag.data.columns import Example, read_example, read_labelled
from unimoer_rag.data.jsonl_rows import JsonlRows
from unimoer_rag.data.labelled import LabelledRows


@pytest.mark.parametrize(
    ("row", "example"),
    [
        (  # ours
            {"query": "q", "positive": "p", "negatives": ["n", "m"]},
            Example("q", ("p", "n", "m"), 1),
        ),
        (  # sentence-transformers
            {"anchor": "q", "positive": "p", "negative": "n"},
            Example("q", ("p", "n"), 1),
        ),
        (
            {"anchor": "q", "positive": "p", "negative_10": "b", "negative_2": "a"},
            Example("q", ("p", "a", "b"), 1),
        ),
        ({"anchor": "q", "positive": "p"}, Example("q", ("p",), 1)),
        (  # FlagEmbedding, with and without scores
            {"query": "q", "pos": ["p", "o"], "neg": ["n", "m"], "prompt": "ignored"},
            Example("q", ("p", "o", "n", "m"), 2),
        ),
        (
            {
                "query": "q",
                "pos": ["p", "o"],
                "neg": ["n", "m"],
                "pos_scores": [9, 8],
                "neg_scores": [1.5, 2],
            },
            Example("q", ("p", "o", "m", "n"), 2, (9.0, 2.0, 1.5)),
        ),
        (
            {"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [], "neg_scores": None},
            Example("q", ("p", "n"), 1),
        ),
        (  # a teacher's scores: the best is the positive
            {"query": "q", "documents": ["a", "b", "c"], "scores": [0.1, 0.9, 0.5]},
            Example("q", ("b", "c", "a"), 1, (0.9, 0.5, 0.1)),
        ),
        (  # grades alone
            {"query": "q", "documents": ["a", "b", "c", "d"], "labels": [0, 3, 1, 3]},
            Example("q", ("b", "d", "c", "a"), 2, (3.0, 1.0, 0.0)),
        ),
        (  # grades say what answers, the teacher by how much
            {"query": "q", "documents": ["a", "b"], "labels": [1, 0], "scores": [0.2, 0.7]},
            Example("q", ("a", "b"), 1, (0.2, 0.7)),
        ),
        (  # a passage counts where it comes first
            {"query": "q", "pos": ["p", "p"], "neg": ["n", "p", "n", "m"]},
            Example("q", ("p", "n", "m"), 1),
        ),
        (
            {"question": "q", "positive": "p", "answer": "yes"},
            Example("q", ("p",), 1, answers=("yes",)),
        ),
    ],
)
def test_rows_of_queries(row: dict[str, Any], example: Example) -> None:
    assert read_example(row, {}) == example


def test_columns_of_other_names() -> None:
    row = {"q": "ask", "good": "yes", "bad": ["no"], "query": "not this"}
    columns = {"query": "q", "positive": "good", "negative": "bad"}
    assert read_example(row, columns) == Example("ask", ("yes", "no"), 1)
    with pytest.raises(ValueError, match="no 'q', which columns gives for query; its columns are"):
        read_example({"query": "x"}, columns)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"positive": "p"}, "no query among positive; expected one of query, anchor, question"),
        ({}, "no query among no columns"),
        ({"query": 3, "positive": "p"}, "query is 3; expected a text"),
        ({"query": " ", "positive": "p"}, "query is ' '; expected a text"),
        ({"query": "q"}, "no positive among query.*columns: {positive: NAME}"),
        (
            {"query": "q", "positive": ["p", 1]},
            r"positive is \['p', 1\]; expected a text or a list",
        ),
        ({"query": "q", "positive": "p", "neg": {"a": 1}}, "neg is {'a': 1}; expected a text"),
        ({"query": "q", "pos": "p", "neg": "n", "pos_scores": 1}, "only its positives or only its"),
        (
            {"query": "q", "pos": "p", "neg": ["n"], "pos_scores": 1, "neg_scores": [1, 2]},
            "neg_scores has 2 numbers for 1 passages",
        ),
        ({"query": "q", "documents": ["a"]}, "neither scores nor labels"),
        ({"query": "q", "documents": [], "scores": []}, "it has no documents"),
        ({"query": "q", "documents": ["a"], "scores": [float("nan")]}, "list of finite numbers"),
        ({"query": "q", "documents": ["a"], "scores": [True]}, "list of finite numbers"),
        ({"query": "q", "documents": ["a"], "labels": [0]}, "no document has a label above 0"),
    ],
)
def test_rows_of_queries_that_are_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_example(row, {})


@pytest.mark.parametrize(
    "row",
    [
        {"query": "q", "documents": ["a", "b", "a"], "labels": [0, 1, 2]},
        {"query": "q", "documents": ["a", "b", "a"], "scores": [0.1, 0.2, 0.9]},
        {"query": "q", "positive": ["a"], "negative": ["b", "a"]},
    ],
)
def test_a_document_that_comes_twice_answers_if_it_does_anywhere(row: dict[str, Any]) -> None:
    found = read_example(row, {})
    assert (found.texts, found.n_positive) == (("a", "b"), 1)
    if "labels" in row or "scores" in row:
        assert found.scores == tuple(map(float, (row.get("labels") or row["scores"])[:0:-1]))


def test_numbers_that_no_float_holds_are_refused() -> None:
    row = {"query": "q", "documents": ["a"], "scores": [10**400]}
    with pytest.raises(ValueError, match="expected a list of finite numbers"):
        read_example(row, {})


def test_rows_may_have_fewer_numbered_negatives_than_others() -> None:
    row = {"query": "q", "positive": "a", "negative_1": "b", "negative_2": None}
    assert read_example(row, {}).texts == ("a", "b")


def test_scored_groups_need_scores() -> None:
    with pytest.raises(ValueError, match=r"it has no scores.*the format triples"):
        read_example({"query": "q", "positive": "p"}, {}, scored=True)


@pytest.mark.parametrize(
    ("row", "example"),
    [
        ({"text": "t", "label": "good"}, Labelled("t", None, "good")),
        ({"premise": "p", "hypothesis": "h", "label": 2}, Labelled("p", "h", "2")),
        ({"sentence1": "p", "sentence2": "h", "label": True}, Labelled("p", "h", "True")),
        ({"text": "t", "pair": None, "label": "x"}, Labelled("t", None, "x")),
    ],
)
def test_rows_of_labelled_texts(row: dict[str, Any], example: Labelled) -> None:
    assert read_labelled(row, {}) == example


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "t"}, "label is None; expected the name of a class"),
        ({"text": "t", "label": 0.5}, "label is 0.5"),
        ({"text": "t", "label": ""}, "label is ''"),
        ({"text": "t", "pair": 3, "label": "x"}, "pair is 3; expected a text, or nothing"),
        ({"label": "x"}, "no text among label"),
    ],
)
def test_rows_of_labelled_texts_that_are_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_labelled(row, {})


def test_texts_pass_the_one_rule_for_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json.dumps({"text": "caf\ud800", "pair": "a\x00b", "label": "x\ud800"}), encoding="utf-8"
    )
    (found,) = LabelledRows(JsonlRows(path, cache=tmp_path))
    assert (found.text, found.pair, found.label) == ("caf\ufffd", "a b", "x\ufffd")
    row = {
        "query": "q\ud800",
        "positive": "p\x01",
        "negatives": ["n\udfff", "m"],
        "answer": "\ud800",
    }
    example = read_example(row, {})
    assert (example.query, example.answers) == ("q\ufffd", ("\ufffd",))
    assert example.texts == ("p ", "n\ufffd", "m")
    with pytest.raises(ValueError, match=r"positive is .*expected a text or a list of texts"):
        read_example({"query": "q", "positive": "\x00\x01"}, {})
