"""What was in `training.data` is found under its old names."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from unimoer_rag.moved import MOVED

OLD = sorted(name for name in MOVED if name.startswith("unimoer_rag.training.data"))


@pytest.mark.parametrize("name", OLD)
def test_an_old_module_gives_what_is_in_the_present_ones(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for old in OLD:  # as if nobody had asked for them
        monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{name} is now {import_name(name)}"):
        found = import_module(name)
    present = MOVED[name]
    for now in (present,) if isinstance(present, str) else present:
        module = import_module(now)
        assert module.__name__ == now
        for attribute in module.__all__:
            assert getattr(found, attribute) is getattr(module, attribute)


def import_name(name: str) -> str:
    present = MOVED[name]
    return present if isinstance(present, str) else " and ".join(present)


def test_a_package_in_two_parts_has_no_more_than_they_have() -> None:
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from unimoer_rag.training.data import BM25Searcher, Mining, Sources, mine, own_datasets\n"
        "from unimoer_rag.training.data.config import Mining as M, TriplesSource\n"
        "import unimoer_rag.training.data.groups as groups\n"
        "assert M is Mining and groups.__name__ == 'unimoer_rag.data.groups'\n"
        "try:\n    from unimoer_rag.training.data import nothing\n"
        "except ImportError as error: print(error)\n"
        "try:\n    import unimoer_rag.training.data.nothing\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert "cannot import name 'nothing' from 'unimoer_rag.training.data'" in first
    assert second == "No module named 'unimoer_rag.training.data.nothing'"
