"""Each door takes the settings that are declared: a new one cannot be forgotten at any."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import pytest
from repository import ROOT, script

from unimoer_rag import retrieval
from unimoer_rag.cli.ask import ask
from unimoer_rag.cli.index import index
from unimoer_rag.cli.search import search
from unimoer_rag.errors import InputError
from unimoer_rag.pipelines.config import RetrieveConfig
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.settings import DECLARED, RetrieverSettings

# Of single searches, too.
SEARCHED = signature(UnifiedRetriever.search).parameters.keys() & DECLARED.keys()


def test_python_takes_all_with_their_types_and_defaults() -> None:
    taken = signature(UnifiedRetriever).parameters
    assert taken == signature(RetrieverSettings).parameters
    assert {name: each.default for name, each in taken.items()} == {
        name: setting.default for name, setting in DECLARED.items()
    }
    positional = [n for n, each in taken.items() if each.kind == Parameter.POSITIONAL_OR_KEYWORD]
    assert positional == ["model"]
    said = UnifiedRetriever.__init__.__doc__ or ""
    assert all(f"    {name}: " in said for name in DECLARED)
    with pytest.raises(TypeError, match="rerankk"):
        UnifiedRetriever(rerankk=3)  # type: ignore[call-arg]


def test_yaml_takes_all_that_a_file_may_hold() -> None:
    # Keys are no part of files; a pipeline knows how much it reads and whether it writes.
    elsewhere = {"api_key", "k", "read_only"}
    fields = RetrieveConfig.model_fields
    assert fields.keys() == DECLARED.keys() - elsewhere
    assert {name: field.default for name, field in fields.items()} == {
        name: DECLARED[name].default for name in fields
    }


@pytest.mark.parametrize(
    ("command", "kinds", "elsewhere"),
    [
        # What another library wrote is not written.
        (index, {"model", "place", "index"}, {"read_only", "mapping"}),
        # What an index is for good, it says itself. One query is not asked twice.
        (search, {"model", "place", "search"}, {"read_only", "query_cache"}),
        (ask, {"model", "place", "index", "search"}, {"read_only", "query_cache"}),
    ],
)
def test_commands_take_all_that_they_use(
    command: Callable[..., None], kinds: set[str], elsewhere: set[str]
) -> None:
    named = {"model": {"checkpoint"}, "chunking": {"chunk_size", "chunk_overlap", "whole"}}
    if command is ask:
        named["k"] = {"n_read"}
    wanted = {name for name, setting in DECLARED.items() if setting.kind in kinds}
    options = {name: named.get(name, {name}) for name in wanted - elsewhere}
    taken = signature(command).parameters.keys()
    assert not {name for name, own in options.items() if not own <= taken}
    others = {name for name in DECLARED.keys() - options if named.get(name, {name}) <= taken}
    assert not others


def test_langchain_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = pytest.importorskip("langchain_unimoer").UniMoERRetriever
    fields = adapter.model_fields.keys()
    assert fields >= SEARCHED == {"k", "rerank", "mode"}
    given: dict[str, Any] = {}

    class OpenedError(Exception):
        pass

    def opening(**settings: Any) -> None:
        given.update(settings)
        raise OpenedError

    monkeypatch.setattr(retrieval, "UnifiedRetriever", opening)
    with pytest.raises(OpenedError):
        adapter.from_documents([], **{name: object() for name in DECLARED})
    assert given.keys() == DECLARED.keys() - fields


def test_llama_index_takes_those_of_a_search() -> None:
    adapter = pytest.importorskip("llama_index.retrievers.unimoer").UniMoERIndexRetriever
    assert signature(adapter).parameters.keys() >= SEARCHED


def test_haystack_and_dspy_take_those_of_a_search() -> None:
    components = pytest.importorskip("haystack_integrations.components.retrievers.unimoer")
    taken = signature(components.UniMoERRetriever.__init__).parameters.keys()
    assert taken >= SEARCHED - {"k"} | {"top_k"}
    adapter = pytest.importorskip("dspy_unimoer").UniMoERRM
    assert signature(adapter).parameters.keys() >= SEARCHED


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"index": "a", "url": "http://b"}, "either index .* or url"),
        ({"k": 0}, "k is 0"),
        ({"k": 0, "rerank": "auto"}, "k is 0"),
        ({"rerank": -1}, "rerank is -1"),
        ({"rerank": True}, "rerank is True"),
        ({"mode": "fuzzy"}, "unknown mode 'fuzzy': expected one of dense, sparse, hybrid"),
        ({"chunking": "hole"}, "chunking is 'hole': expected a Chunking, 'whole' or None"),
        ({"chunking": 160}, "chunking is 160"),
        ({"quantization": "int4"}, "int4.*int8"),
        ({"oversampling": 0.5}, "oversampling is 0.5"),
        ({"token_states": "int4"}, "int4.*binary"),
        ({"token_pooling": 2}, "token_pooling is 2 without token_states"),
    ],
)
def test_what_cannot_be_used_is_refused_before_a_model_is_loaded(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        UnifiedRetriever("no-such-model", **settings)


def test_secrets_are_not_shown() -> None:
    shown = repr(RetrieverSettings(url="http://me:secret@host", api_key="secret"))
    assert "secret" not in shown


def test_the_table_of_settings_is_that_of_the_declaration() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    written = script("generate_settings_docs").render(page)
    assert page == written, "run: python scripts/generate_settings_docs.py"
    assert all(f"| `{name}` |" in page for name in DECLARED)


def test_a_misspelt_setting_is_told_with_what_may_be_meant() -> None:
    with pytest.raises(TypeError, match="UnifiedRetriever takes no 'indx': did you mean 'index'"):
        UnifiedRetriever(indx="a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes no 'revision': give model='owner/name@"):
        UnifiedRetriever("owner/name", revision="main")  # type: ignore[call-arg]
