"""Which files of a Hub repository hold which table.

That is what its README declares under `configs`, as the Hub and the library `datasets` read it:

```yaml
configs:
- config_name: corpus
  data_files:
  - split: corpus
    path: corpus.jsonl
```

Where it declares nothing of a table, the table is the files of a folder of its name, or the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unimoer_rag.errors import DataError
from unimoer_rag.yaml_files import parse_yaml

__all__ = ["table_files"]

_FRONT = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---", re.DOTALL)
_PART = re.compile(r"(?P<stem>.*)-(?P<at>\d{5})-of-(?P<n>\d{5})(?P<suffix>\.\w+)")
_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".tsv")


def table_files(folder: Path, names: Sequence[str], split: str) -> tuple[Path, ...]:
    """The files of a table, in the order of its parts.

    Args:
        folder: the repository, or the part of it that is here.
        names: of the table's configuration; the first that the repository has.
        split: of it; a table with only one split is taken whatever that is called.

    Raises:
        DataError: there is no such table or split, or a part of it is missing.
    """
    declared = dict(_configs(folder))
    for name in names:
        patterns = _of_split(declared[name], split) if name in declared else _usual(name, split)
        files = sorted({path for pattern in patterns for path in _matching(folder, pattern)})
        if files:
            _check_whole(files)
            return tuple(files)
    raise DataError(
        f"{str(folder)!r} has no table {' or '.join(names)} with the split {split!r}: expected the "
        f"files that its README.md declares ({', '.join(declared) or 'it declares none'}), or "
        f"{names[0]}/{split}-00000-of-00001.parquet; download the whole repository"
    )


def _configs(folder: Path) -> Iterator[tuple[str, Any]]:
    """Configuration -> what its README says of its files."""
    readme = folder / "README.md"
    if not readme.is_file():
        return
    front = _FRONT.match(readme.read_text("utf-8", errors="replace"))
    parsed = parse_yaml(front[1], what=str(readme), error=DataError) if front else None
    configs = parsed.get("configs") if isinstance(parsed, dict) else None
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict) and "data_files" in config:
            yield str(config.get("config_name", "default")), config["data_files"]


def _of_split(data_files: Any, split: str) -> list[str]:
    """The patterns of a split, in any of the ways that a README may put it."""
    if not isinstance(data_files, list):
        data_files = [data_files]
    unnamed = [each for each in data_files if isinstance(each, str)]
    if unnamed:
        return unnamed  # one split
    by_split = {
        str(each.get("split")): each.get("path") for each in data_files if isinstance(each, dict)
    }
    path = by_split.get(split)
    if path is None and len(by_split) == 1:
        (path,) = by_split.values()
    paths = path if isinstance(path, list) else [path]
    return [each for each in paths if isinstance(each, str)]


def _usual(name: str, split: str) -> list[str]:
    folder = "data" if name == "default" else name
    return [
        *(f"{folder}/{split}{part}" for part in ("-*.parquet", *_SUFFIXES)),
        *(f"{folder}{suffix}" for suffix in _SUFFIXES),
    ]


def _matching(folder: Path, pattern: str) -> Iterator[Path]:
    if not pattern or pattern.startswith("/") or ".." in Path(pattern).parts:
        return  # outside the repository
    yield from (path for path in folder.glob(pattern) if path.is_file())


def _check_whole(files: Sequence[Path]) -> None:
    """A table in numbered parts has all of them."""
    found = {path.name for path in files}
    for path in files:
        part = _PART.fullmatch(path.name)
        for at in range(int(part["n"])) if part else ():
            name = f"{part['stem']}-{at:05}-of-{part['n']}{part['suffix']}" if part else ""
            if name not in found:
                raise DataError(f"{path.parent} lacks {name}, a part of the table: download it")
