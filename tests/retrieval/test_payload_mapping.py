"""Payloads of other libraries as passages: where each keeps what, and whose they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import Passage, PayloadMapping
from unimoer_rag.retrieval.store.payload_mapping import mapping_of, read_path

LANGCHAIN = {"page_content": "a", "metadata": {"source": "s", "title": "t", "n": 1}}
HAYSTACK = {"id": "h", "content": "a", "meta": {"file_path": "f", "n": 1}, "score": None}


def node(text: str, **said: Any) -> dict[str, Any]:
    content = json.dumps({"text": text, "metadata": said})
    of = {"document_id": "d", "doc_id": "d", "ref_doc_id": "d"}
    return {**said, "_node_content": content, "_node_type": "TextNode", **of}


@pytest.mark.parametrize(
    ("payload", "name", "expected"),
    [
        (LANGCHAIN, "langchain", Passage("a", "s", "t", 0, 1, {"n": 1}, document_id="7")),
        (
            {"page_content": "a", "metadata": None},
            "langchain",
            Passage("a", "7", "", 0, 1, {}, document_id="7"),
        ),
        (
            HAYSTACK,
            "haystack",
            Passage("a", "f", "", 0, 1, {"file_path": "f", "n": 1}, document_id="h"),
        ),
        (
            node("a", file_name="f", n=1),
            "llama-index",
            Passage("a", "f", "", 0, 1, {"file_name": "f", "n": 1}, document_id="7"),
        ),
        (node("a"), "llama-index", Passage("a", "d", "", 0, 1, {}, document_id="7")),
        (
            {**node(""), "text": "early", "ref_doc_id": "None"},
            "llama-index",
            Passage("early", "7", "", 0, 5, {}, document_id="7"),
        ),
    ],
)
def test_presets(payload: dict[str, Any], name: str, expected: Passage) -> None:
    mapping = mapping_of("auto", [payload], where="there")
    assert mapping == PayloadMapping.preset(name)
    assert mapping.passage(payload, 7) == expected


def test_nodes_that_are_no_text_nodes() -> None:
    content = {"text_resource": {"text": "a"}}
    payload = {"_node_content": json.dumps(content), "_node_type": "Document"}
    assert PayloadMapping.preset("llama-index").passage(payload, 7).text == "a"


def test_names_of_ones_own() -> None:
    mapping = PayloadMapping(
        text=("body", "summary"), source="where.url", title="head", document_id="key"
    )
    payload = {"summary": "a", "where": {"url": "u"}, "head": ["x", "y"], "key": 3, "n": 1}
    kept: dict[str, Any] = {"where": {"url": "u"}, "head": ["x", "y"], "key": 3, "n": 1}
    assert mapping.passage(payload, 7) == Passage("a", "u", "x, y", 0, 1, kept, document_id="3")


def test_what_cannot_be_shown_or_kept_is_cleaned() -> None:
    payload = {"page_content": "a\x1b[31m", "metadata": {"source": "s\x07", "k\x00": "v\x1b"}}
    passage = PayloadMapping.preset("langchain").passage(payload, 7)
    assert (passage.text, passage.source) == ("a [31m", "s ")
    assert passage.metadata == {"k ": "v "}


@pytest.mark.parametrize(
    ("payload", "path", "found"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a": {"b": 1}}, "a.c", None),
        ({"a": '{"b": {"c": 1}}'}, "a.b.c", 1),
        ({"a": "no JSON"}, "a.b", None),
        ({"a": "[" * 100_000}, "a.b", None),
        ({"a": [1]}, "a.b", None),
        ({"a": None}, "a.b", None),
    ],
)
def test_paths(payload: dict[str, Any], path: str, found: object) -> None:
    assert read_path(payload, path) == found


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown payload mapping 'lang': expected auto, langch"):
        PayloadMapping.preset("lang")
    with pytest.raises(InputError, match="has no text: name the place"):
        PayloadMapping(text="")
    with pytest.raises(InputError, match=r"payloads have 'body'; say where the text is, as mapp"):
        mapping_of("auto", [{"body": "a"}], where="there")
    with pytest.raises(InputError, match="no library that is known here"):
        mapping_of("auto", [LANGCHAIN, HAYSTACK], where="there")
    with pytest.raises(InputError, match=r"no text at 'a' or 'b': its payloads have 'body'"):
        mapping_of(PayloadMapping(text=("a", "b")), [{"body": "a"}], where="there")
    changed = PayloadMapping.preset("langchain", vector="dense")
    assert mapping_of(changed, [LANGCHAIN], where="there") is changed
