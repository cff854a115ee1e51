"""UniMoEREmbedder: vectors for DSPy's own embedder and its search, and what its cache keeps."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest
from dspy_helpers import CORPUS, EXACT, QUERY
from dspy_unimoer import UniMoEREmbedder

from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache for each test, in memory: what keys are made of is the same on disk."""
    monkeypatch.setattr(dspy, "cache", dspy.clients.Cache(False, True, None))


def test_vectors_are_the_models(live: UniMoER) -> None:
    for side, text in (("document", CORPUS), ("query", [QUERY])):
        found = UniMoEREmbedder(**EXACT, side=side)(text)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, live.embed(text, side), atol=1e-5)
    assert UniMoEREmbedder(**EXACT).unimoer is live


async def test_dspys_embedder_takes_it(live: UniMoER) -> None:
    embedder = dspy.Embedder(UniMoEREmbedder(**EXACT), batch_size=3)
    expected = live.embed(CORPUS)
    np.testing.assert_allclose(embedder(CORPUS), expected, atol=1e-5)
    np.testing.assert_allclose(embedder(CORPUS[1]), expected[1], atol=1e-5)
    np.testing.assert_allclose(await embedder.acall(CORPUS), expected, atol=1e-5)


def test_dspys_search_finds_with_it(tmp_path: Path) -> None:
    documents, queries = UniMoEREmbedder(**EXACT), UniMoEREmbedder(**EXACT, side="query")
    search = dspy.retrievers.Embeddings(CORPUS, dspy.Embedder(documents), k=2)
    assert search(QUERY).passages[0] == "Refunds take 14 days."
    search.save(str(tmp_path / "saved"))
    again = dspy.retrievers.Embeddings.from_saved(str(tmp_path / "saved"), dspy.Embedder(queries))
    assert again(QUERY).passages[0] == "Refunds take 14 days."


@pytest.mark.parametrize(
    "other",
    [{"side": "query"}, {"instruction": "passage: "}, {"model": "minilm"}, {"dimensions": 384}],
)
def test_what_is_cached_is_never_anothers(other: dict[str, Any]) -> None:
    one, two = UniMoEREmbedder(**EXACT), UniMoEREmbedder(**{**EXACT, **other})
    same = other == {"dimensions": 384}  # which it has anyway
    assert (one.__name__ == two.__name__) == same
    calls: list[list[str]] = []

    class Counted(UniMoEREmbedder):
        def __call__(self, texts: Any) -> Any:
            calls.append(list(texts))
            return super().__call__(texts)

    for settings in ({}, {}, other):
        dspy.Embedder(Counted(**{**EXACT, **settings}))(["text"])
    assert len(calls) == (1 if same else 2)


def test_a_copy_is_the_same(live: UniMoER) -> None:
    embedder = UniMoEREmbedder(**EXACT)
    again = copy.deepcopy(embedder)
    assert again.__name__ == embedder.__name__
    assert again.unimoer is live


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(InputError, match="side is 'passage': expected 'document' or 'query'"):
        UniMoEREmbedder(side="passage")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="100"):
        UniMoEREmbedder(**EXACT, dimensions=100)
    with pytest.raises(InputError, match="document 1 is a int"):
        UniMoEREmbedder(**EXACT)(["text", 3])  # type: ignore[list-item]


def test_nothing_is_written_into_the_home() -> None:
    assert "DSPY_CACHEDIR" in os.environ
    from dspy.utils.caching import default_cache_dir

    assert default_cache_dir() == os.environ["DSPY_CACHEDIR"]


@pytest.mark.slow
def test_importing_needs_no_torch_and_without_the_framework_the_extra_is_named() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # which cannot be imported then
        "import dspy_unimoer\n"
        "assert dspy_unimoer.UniMoERRM and dspy_unimoer.UniMoEREmbedder\n"
        "for name in [n for n in sys.modules if n.split('.')[0] in ('dspy', 'dspy_unimoer')]:\n"
        "    del sys.modules[name]\n"
        "class Absent:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'dspy':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent)\n"
        "from unimoer_rag.errors import MissingExtraError\n"
        "try:\n"
        "    import dspy_unimoer\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "dspy_unimoer needs the package 'dspy', which is not installed: "
        "pip install 'unimoer-rag[dspy]'\n"
    )
