"""What importing the package takes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest

Script = Callable[..., str]

# Where the framework has them: from 1.8 on.
DECISIONS = ["UniMoERDecisionModel"] * (find_spec("langchain_core.decisions") is not None)

BLOCK = """
import sys
from importlib.abc import MetaPathFinder

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
"""


@pytest.mark.slow
def test_importing_loads_no_model_code(script: Script) -> None:
    loaded = script(
        "import sys, langchain_unimoer\n"
        "print([m for m in ('torch', 'transformers', 'qdrant_client') if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


@pytest.mark.slow
def test_only_langchain_core_is_needed(script: Script) -> None:
    others = ["langchain", "langchain_classic", "langchain_community", "langchain_text_splitters"]
    names = script(
        f"BLOCKED = {others}\n{BLOCK}\n"
        "import langchain_unimoer\n"
        "embeddings = langchain_unimoer.UniMoEREmbeddings()\n"
        "assert langchain_unimoer.UniMoERCompressor()._shared.model is embeddings._shared.model\n"
        "print(*langchain_unimoer.__all__)"
    )
    assert names.split() == [
        "UniMoERCompressor",
        "UniMoERCrossEncoder",
        "UniMoEREmbeddings",
        "UniMoERRetriever",
        *DECISIONS,
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        "import langchain_unimoer",
        "from unimoer_rag import UnifiedRetriever; UnifiedRetriever().as_langchain()",
    ],
)
def test_without_langchain_core_the_extra_is_named(script: Script, use: str) -> None:
    message = script(
        f"BLOCKED = ['langchain_core']\n{BLOCK}\n"
        "from unimoer_rag.errors import MissingExtraError\n"
        f"try:\n    {use}\nexcept MissingExtraError as error:\n    print(error)"
    )
    assert "langchain-core" in message
    assert "pip install 'unimoer-rag[langchain]'" in message


@pytest.mark.slow
def test_a_framework_without_decision_models_has_all_the_rest(script: Script) -> None:
    said = script(
        "import sys\nfrom importlib.machinery import PathFinder\n"
        "whole = PathFinder.find_spec\n"
        "PathFinder.find_spec = classmethod(lambda own, name, *rest: None\n"
        "    if name == 'langchain_core.decisions' else whole(name, *rest))\n"
        "from langchain_unimoer import *\n"
        "import langchain_unimoer\n"
        "UniMoEREmbeddings, UniMoERRetriever\n"
        "from unimoer_rag.errors import MissingExtraError\n"
        "try:\n    from langchain_unimoer import UniMoERDecisionModel\n"
        "except MissingExtraError as error:\n    print(error)\n"
        "print(langchain_unimoer.__all__)"
    )
    told, names = said.splitlines()
    assert told == (
        "UniMoERDecisionModel needs the package 'langchain-core>=1.8', which is not installed: "
        "pip install 'langchain-core>=1.8'"
    )
    assert "UniMoERDecisionModel" not in names
