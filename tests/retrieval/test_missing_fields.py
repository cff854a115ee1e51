"""Filters that name a field which no passage has: said, with those that there are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.errors import UnimoerWarning
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.types import Document


@pytest.fixture(scope="module", params=["memory", "folder"])
def filled(
    request: pytest.FixtureRequest, minilm: UniMoER, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UnifiedRetriever]:
    folder = tmp_path_factory.mktemp("fields") / "index" if request.param == "folder" else None
    with UnifiedRetriever(minilm, index=folder) as retriever:
        retriever.add(
            [
                Document("A kayak.", "kayak.md", metadata={"year": 2023, "tag": ["boat"]}),
                Document("A tent.", "tent.md", metadata={"year": 2024, "author": None}),
            ]
        )
        yield retriever


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"yaer": 2023}, "has the field 'yaer', .*: there are source, title, year, author, tag"),
        ({"year": 2023, "lang": "en"}, "has the field 'lang', which"),
        ({"any": [{"yaer": {"gte": 1}}, {"tga": "boat"}]}, "has the fields 'yaer', 'tga', which"),
        ({"lang": {"empty": False}}, "has the field 'lang', which"),
        ({"author": "Ann"}, "has the field 'author', which"),  # it is null wherever it is
    ],
)
async def test_the_field_is_named(
    filled: UnifiedRetriever, filters: dict[str, Any], said: str
) -> None:
    with pytest.warns(UnimoerWarning, match=said) as told:
        assert filled.search("boat", filters=filters) == []
    assert told[0].filename == __file__
    with pytest.warns(UnimoerWarning, match=said):
        assert filled.search_batch(["boat", "tent"], filters=filters) == [[], []]
    with pytest.warns(UnimoerWarning, match=said) as told:
        assert await filled.asearch("boat", filters=filters) == []
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    "filters",
    [
        {"year": 1900},
        {"source": "none.md"},
        {"year": 1900, "not": {"lang": "en"}},
        {"year": 1900, "lang": {"empty": True}},
        {"not": {"lang": "en"}},
        {"any": [{"lang": "en"}, {"tag": "boat"}]},  # something is found
    ],
)
def test_nothing_is_said_where_that_is_not_why(
    filled: UnifiedRetriever, filters: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled.search("boat", filters=filters)


def test_an_empty_index_has_no_fields_to_name(minilm: UniMoER, tmp_path: Path) -> None:
    with UnifiedRetriever(minilm, index=tmp_path / "index") as retriever, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert retriever.search("boat", filters={"lang": "en"}) == []
