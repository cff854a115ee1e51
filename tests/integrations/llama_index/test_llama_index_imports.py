"""What importing the adapters costs, and what it says where LlamaIndex is missing."""

from __future__ import annotations

import pytest
from llama_index_helpers import Script

HOMES = {
    "UniMoEREmbedding": "llama_index.embeddings.unimoer",
    "UniMoERRerank": "llama_index.postprocessor.unimoer_rerank",
    "UniMoERIndexRetriever": "llama_index.retrievers.unimoer",
    "UniMoERSynthesizer": "llama_index.response_synthesizers.unimoer",
    "UniMoERLLM": "llama_index.llms.unimoer",
    "UniMoERIndex": "llama_index.indices.managed.unimoer",
    "UniMoERSparseEmbedding": "llama_index.sparse_embeddings.unimoer",
}
# As on a machine without it: nothing finds llama_index.core, our own folders are found.
_BLOCKED = """
import sys

class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "llama_index.core":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent)
"""


@pytest.mark.slow  # the framework's own import takes a second or two
def test_importing_loads_no_torch(script: Script) -> None:
    lines = [f"from {home} import {name}" for name, home in HOMES.items()]
    result = script("import sys\n" + "\n".join(lines) + "\nassert 'torch' not in sys.modules")
    assert result.returncode == 0, result.stderr


def test_without_the_framework_the_extra_is_named(script: Script) -> None:
    code = [_BLOCKED, "from unimoer_rag.errors import MissingExtraError"]
    for name, home in HOMES.items():
        code += ["try:", f"    from {home} import {name}"]
        code += ["except MissingExtraError as error:", "    print(error)"]
    result = script("\n".join(code))
    assert result.stdout.splitlines() == [
        f"{name} needs the package 'llama-index-core', which is not installed: "
        "pip install 'unimoer-rag[llama-index]'"
        for name in HOMES
    ]
