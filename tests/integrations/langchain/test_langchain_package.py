"""What importing the package takes, what it leaves alone, and what other processes make of it."""

from __future__ import annotations

import inspect
import json
import pickle
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from typing import Any

import langchain_unimoer
import numpy as np
import pytest
from langchain_helpers import EXACT, QUERY
from langchain_unimoer import UniMoERCompressor, UniMoERCrossEncoder, UniMoEREmbeddings
from pydantic import ValidationError

from unimoer_rag.errors import MissingExtraError, UnimoerError
from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever

Script = Callable[..., str]

# Where the framework has them (from 1.8 on), and where langchain-qdrant is installed.
OPTIONAL = [
    *["UniMoERDecisionModel"] * (find_spec("langchain_core.decisions") is not None),
    *["UniMoERSparseEmbeddings"] * (find_spec("langchain_qdrant") is not None),
]


class Block(MetaPathFinder):
    """Packages that are not to be found."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


# The same in a process of its own.
BLOCK = f"""
from __future__ import annotations
import sys
from importlib.abc import MetaPathFinder

{inspect.getsource(Block)}
sys.meta_path.insert(0, Block(NAMES))
"""


@pytest.mark.slow
def test_importing_loads_no_model_code(script: Script) -> None:
    loaded = script(
        "import sys, langchain_unimoer\n"
        "print([m for m in ('torch', 'transformers', 'qdrant_client') if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


@pytest.mark.slow
def test_another_process_with_langchain_core_alone_computes_the_same(script: Script) -> None:
    others = ["langchain", "langchain_classic", "langchain_community", "langchain_text_splitters"]
    embeddings = UniMoEREmbeddings(**EXACT, query_instruction="query: ")
    encoder = UniMoERCrossEncoder(**EXACT)
    pairs = [(QUERY, "Refunds take five days."), (QUERY, "A kayak.")]
    out = script(
        BLOCK.replace("NAMES", str(others)) + "import json, pickle, langchain_unimoer\n"
        "embeddings, encoder, pairs = pickle.load(sys.stdin.buffer)\n"
        f"compressor = langchain_unimoer.UniMoERCompressor(**{EXACT})\n"
        "held = [each._shared.model for each in (embeddings, encoder, compressor)]\n"
        "assert held[0] is held[1] is held[2]\n"
        "print(json.dumps([embeddings.embed_query('text'), encoder.score(pairs)]))\n"
        "print(*langchain_unimoer.__all__)",
        pickle.dumps((embeddings, encoder, pairs)),
    )
    found, names = out.splitlines()
    vector, scores = json.loads(found)
    np.testing.assert_allclose(vector, embeddings.embed_query("text"), atol=1e-6)
    np.testing.assert_allclose(scores, encoder.score(pairs), atol=1e-6)
    assert names.split() == [
        "UniMoERChatModel",
        "UniMoERCompressor",
        "UniMoERCrossEncoder",
        "UniMoEREmbeddings",
        "UniMoERLLMCompressor",
        "UniMoERPipeline",
        "UniMoERRetriever",
        "UniMoERVectorStore",
        *OPTIONAL,
    ]


@pytest.mark.slow
def test_without_langchain_core_the_extra_is_named(script: Script) -> None:
    message = script(
        BLOCK.replace("NAMES", "['langchain_core']")
        + "from unimoer_rag.errors import MissingExtraError\n"
        "try:\n    import langchain_unimoer\nexcept MissingExtraError as error:\n    print(error)"
    )
    assert "langchain-core" in message
    assert "pip install 'unimoer-rag[langchain]'" in message


def test_a_retriever_without_langchain_core_names_the_extra(
    filled: UnifiedRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*sys.modules]:  # as if nothing had been imported yet
        if name.partition(".")[0] in ("langchain_core", "langchain_unimoer"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Block(["langchain_core"]), *sys.meta_path])
    for door in (filled.as_langchain, filled.as_langchain_store, RagPipeline(filled).as_langchain):
        said = r"needs .*'langchain-core'.*pip install 'unimoer-rag\[langchain\]'"
        with pytest.raises(MissingExtraError, match=said):
            door()


@pytest.mark.slow
def test_what_not_every_installation_has_is_not_needed(script: Script) -> None:
    absent = {
        "UniMoERDecisionModel": "langchain-core>=1.8",
        "UniMoERSparseEmbeddings": "langchain-qdrant",
    }
    said = script(
        "import sys\nfrom importlib.machinery import PathFinder\n"
        "whole = PathFinder.find_spec\n"
        "PathFinder.find_spec = classmethod(lambda own, name, *rest: None\n"
        "    if name in ('langchain_core.decisions', 'langchain_qdrant') else whole(name, *rest))\n"
        "from langchain_unimoer import *\n"
        "import langchain_unimoer\n"
        "UniMoEREmbeddings, UniMoERRetriever, UniMoERVectorStore\n"
        "from unimoer_rag.errors import MissingExtraError\n"
        f"for name in {list(absent)}:\n"
        "    try:\n        getattr(langchain_unimoer, name)\n"
        "    except MissingExtraError as error:\n        print(error)\n"
        "print(langchain_unimoer.__all__)"
    )
    *told, names = said.splitlines()
    assert told == [
        f"{name} needs the package '{package}', which is not installed: pip install '{package}'"
        for name, package in absent.items()
    ]
    assert not any(name in names for name in absent)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'UniMoERVectors'"):
        _ = langchain_unimoer.UniMoERVectors  # type: ignore[attr-defined]


@pytest.mark.parametrize("adapter", [UniMoEREmbeddings, UniMoERCrossEncoder, UniMoERCompressor])
def test_the_model_may_be_the_first_argument(adapter: Any) -> None:
    named = adapter("unimoer-minilm", **EXACT)
    for same in (adapter(model="unimoer-minilm", **EXACT), adapter(**EXACT)):
        assert dict(named) == dict(same)
        assert named.unimoer is same.unimoer
    with pytest.raises(UnimoerError, match="could not download owner/name at no-such-commit"):
        adapter("owner/name", revision="no-such-commit", **EXACT)
    with pytest.raises(ValidationError, match=r"model\n.*should be a valid string"):
        adapter(7)
    with pytest.raises(TypeError, match="positional argument"):
        adapter("unimoer-minilm", "main")
