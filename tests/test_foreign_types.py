"""Classes of libraries that are not imported are known by their names."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from unimoer_rag.foreign_types import is_a


def test_a_class_is_known_by_its_name_and_package_also_through_what_derives_from_it() -> None:
    class Dictionary(OrderedDict[str, int]):
        pass

    assert is_a(OrderedDict(), "collections", "OrderedDict")
    assert is_a(Dictionary(), "collections", "OrderedDict")
    assert is_a(Path(), "pathlib", "PurePath")


def test_namesakes_are_others() -> None:
    class PurePath:
        pass

    assert not is_a(PurePath(), "pathlib", "PurePath")
    assert not is_a(Path(), "path", "PurePath")  # the beginning of a name is no package
    assert not is_a(None, "collections", "OrderedDict")
