"""YAML of others, read with its depth, size and aliases bounded; errors name file, line and key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.files import read_bounded
from unimoer_rag.wrong_values import explained

__all__ = ["parse_yaml", "read_yaml"]

M = TypeVar("M", bound=BaseModel)

_BYTES = 256 * 1024
_DEPTH = 50
_TAG = "kind"  # the key that tells models apart
_NODES = 50_000  # values, those of an alias counted wherever it stands


def read_yaml(path: Path, kind: type[M], *, whole: str, error: type[UnimoerError]) -> M:
    """The content of a YAML file as a model.

    Args:
        path: the file.
        kind: the model.
        whole: what the file is ("recipe"), for what is wrong with no key of it.
        error: what is raised.

    Raises:
        UnimoerError: of the type `error`: the file cannot be read, is not YAML, is larger, deeper
            or has more aliases than such a file needs, or is malformed; names the line and the key.
    """
    data = read_bounded(path, _BYTES, error=error)
    node, values = _parse(data, str(path), error)
    try:
        return kind.model_validate(values)
    except ValidationError as problem:
        first = problem.errors()[0]
        tag = (_TAG,) if first["type"].startswith("union_tag") else ()
        absent = first["type"] == "missing"
        line, keys = _place(node, (*first["loc"], *tag), absent=absent)
        where = ".".join(map(str, keys)) or whole
        raise error(f"{path}:{line}: {where}: {explained(first, kind)}") from problem


def parse_yaml(text: str | bytes, *, what: str, error: type[UnimoerError] = InputError) -> Any:
    """The value of a YAML text, bounded as `read_yaml` bounds a file.

    Args:
        text: bytes are UTF-8.
        what: names the text in messages.
        error: what is raised.

    Raises:
        UnimoerError: of the type `error`: the text is no such YAML.

    >>> parse_yaml("{a: [1, 2]}", what="the setting")
    {'a': [1, 2]}
    """
    return _parse(text, what, error)[1]


def _parse(text: str | bytes, what: str, error: type[UnimoerError]) -> tuple[yaml.Node | None, Any]:
    """A text as YAML's own nodes, which know their lines, and as values."""
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        if len(text) > _BYTES:
            raise ValueError(f"longer than {_BYTES:,} characters")
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, None
            _check_aliases(node)
            return node, loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = "" if mark is None else f"line {mark.line + 1}: "
        said = ": ".join(filter(None, (problem.context, problem.problem)))
        raise error(f"{what} is not YAML: {place}{said}") from problem
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise error(f"{what} is not YAML: line {line}: not UTF-8") from problem
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        said = " ".join(str(problem).split())
        raise error(f"{what} is not YAML: {said:.300}") from problem


class _Loader(yaml.SafeLoader):
    """Makes nodes to a depth and no further, and takes a key once."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {_DEPTH} lists and mappings",
                problem_mark=self.get_mark(),
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:
            raise yaml.MarkedYAMLError(
                problem=f"no such value ({error})", problem_mark=node.start_mark
            ) from error

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r:.80} stands twice",
                        problem_mark=key.start_mark,
                    )
                seen.add((key.tag, key.value))
        return node


def _check_aliases(root: yaml.Node) -> None:
    """Refuse aliases that stand inside what they name, or that add up to too much."""
    known: dict[int, tuple[int, int]] = {}
    under_way: set[int] = set()

    def refuse(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)

    def measure(node: yaml.Node) -> tuple[int, int]:
        """How many values a node is, and how deep; of what an alias names, once for each alias."""
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        if id(node) in under_way:
            raise refuse(node, "an alias stands inside what it names")
        if id(node) not in known:
            under_way.add(id(node))
            parts = [measure(child) for child in _children(node)]
            under_way.discard(id(node))
            n, depth = 1 + sum(n for n, _ in parts), 1 + max((d for _, d in parts), default=0)
            if n > _NODES:
                raise refuse(node, f"more than {_NODES:,} values, aliases counted each time")
            if depth > _DEPTH:
                raise refuse(node, f"nested deeper than {_DEPTH} lists and mappings")
            known[id(node)] = n, depth
        return known[id(node)]

    measure(root)


def _children(node: yaml.Node) -> Sequence[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    children: Sequence[yaml.Node] = node.value
    return children


def _place(node: yaml.Node | None, loc: Sequence[Any], *, absent: bool) -> tuple[int, list[Any]]:
    """The line of a place in a file, or of the closest key around it, and the place's keys.

    Pydantic's places also hold the kinds it tells types apart by, which stand in no key. Only of
    what is absent the last key stands in no file.
    """
    line = 1 if node is None else node.start_mark.line + 1
    keys = []
    for n, key in enumerate(loc):
        found = _child(node, key)
        if found is not None:
            line, node = found
        elif not absent or n < len(loc) - 1:
            continue
        keys.append(key)
    return line, keys


def _child(node: yaml.Node | None, key: Any) -> tuple[int, yaml.Node] | None:
    """The line of a key, and what it names."""
    if isinstance(node, yaml.MappingNode):
        for at, value in node.value:
            if at.value == str(key):
                return at.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None
