from __future__ import annotations

import importlib

import pytest

from unimoer_rag.errors import MissingExtraError
from unimoer_rag.extras import needs_extra


def test_what_is_missing_is_named_with_its_extra() -> None:
    with (
        pytest.raises(MissingExtraError, match=r"'no-such-package', .*unimoer-rag\[langchain\]"),
        needs_extra("no_such_package", "langchain", "a retriever"),
    ):
        importlib.import_module("no_such_package")


def test_a_part_of_a_namespace_may_be_what_is_missing() -> None:
    with (
        pytest.raises(MissingExtraError, match="'llama-index-no-core'"),
        needs_extra("llama_index.no_core", "llama-index", "an embedding"),
    ):
        importlib.import_module("llama_index.no_core")


def test_other_errors_pass_through() -> None:
    with (
        pytest.raises(ModuleNotFoundError, match="'another_package'") as caught,
        needs_extra("no_such_package", "langchain", "a retriever"),
    ):
        importlib.import_module("another_package")
    assert not isinstance(caught.value, MissingExtraError)
