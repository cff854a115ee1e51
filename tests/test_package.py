"""The package from outside: its names, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import unimoer_rag
from unimoer_rag import errors

PARTS = (
    *("cli.main", "engine", "evaluation", "generation.extractive", "model.loading"),
    *("pipelines.rag", "retrieval.store", "retrieval.retriever", "training.run"),
)


def test_all_is_what_the_documentation_says() -> None:
    assert unimoer_rag.__all__ == [
        "Chunking",
        "Document",
        "Hit",
        "Passage",
        "RagPipeline",
        "UniMoER",
        "UnifiedRetriever",
        "UnimoerError",
        "__version__",
    ]
    for name in unimoer_rag.__all__:
        assert getattr(unimoer_rag, name) is not None
        assert name in dir(unimoer_rag)
    assert unimoer_rag.__version__ == metadata.version("unimoer-rag")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = unimoer_rag.Nothing


def test_importing_loads_nothing_and_changes_nothing() -> None:
    code = (
        "import logging, os, sys\n"
        "before = set(sys.modules), dict(os.environ), list(sys.path)\n"
        "import unimoer_rag\n"
        "after = set(sys.modules), dict(os.environ), list(sys.path)\n"
        "new = {name.split('.')[0] for name in after[0] - before[0]}\n"
        "foreign = new - set(sys.stdlib_module_names) - {'unimoer_rag'}\n"
        "assert not foreign, foreign\n"
        "assert before[1:] == after[1:]\n"
        "assert not logging.getLogger().handlers\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_search_in_a_folder_imports_what_it_needs(minilm_path: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from unimoer_rag import UnifiedRetriever\n"
        "with UnifiedRetriever(index=sys.argv[1]) as retriever:\n"
        "    retriever.add(['Refunds take 14 days.', 'We open at nine.'])\n"
        "with UnifiedRetriever(index=sys.argv[1]) as retriever:\n"
        "    assert retriever.search('refunds', k=1)\n"
        "heavy = ('qdrant_client', 'datasets', 'ir_measures', 'typer', 'unimoer_rag.lab.bench',\n"
        "    'unimoer_rag.cli', 'unimoer_rag.evaluation', 'unimoer_rag.training',\n"
        "    'unimoer_rag.generation.chat_server', 'langchain_core', 'llama_index.core')\n"
        "assert not [name for name in heavy if name in sys.modules]\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "index")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no bars


def test_every_error_is_exported_documented_and_a_unimoer_error() -> None:
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.UnimoerError | errors.UnimoerWarning)
    }
    assert kinds == set(errors.__all__)
    assert errors.__doc__ is not None
    for name in kinds:
        assert name in errors.__doc__, f"{name} is missing in the tree of errors.py"


@pytest.mark.slow
def test_every_part_imports_by_itself() -> None:
    """No cycle hides behind the order in which the tests import."""
    code = (
        "import importlib, sys\n"
        "import torch, transformers, qdrant_client\n"
        f"for name in {PARTS}:\n"
        "    for known in [m for m in sys.modules if m.split('.')[0] == 'unimoer_rag']:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(f'unimoer_rag.{name}')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_is_typed_and_has_its_recipes() -> None:
    assert (Path(unimoer_rag.__file__).parent / "py.typed").is_file()
