"""Data sets of the Hugging Face Hub, pinned to a commit, by the library `datasets` (extra `train`).

No code of a data set is ever run: `datasets` reads Parquet, Arrow, JSON and CSV files alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unimoer_rag.data.jsonl_rows import JsonlRows, Rows
from unimoer_rag.data.source_settings import HubSource
from unimoer_rag.errors import DataError, TrainingError
from unimoer_rag.extras import needs_extra
from unimoer_rag.files import replacing

__all__ = ["open_hub"]


def open_hub(source: HubSource, *, data: Path, cache: Path) -> Rows:
    """The rows of a data set: memory-mapped, or as many as were asked for of a stream.

    Numbers of a class column become the classes' names, and rows without a class are left out
    where the source holds labelled texts.

    Args:
        source: which data set; a local folder is read in the same way.
        data: the folder that a relative local path is below.
        cache: folder for the rows of a stream, which are stored as they come.

    Raises:
        DataError: the Hub cannot be reached, or has no such data set, configuration or split.
        MissingExtraError: `datasets` is not installed.
    """
    place = str(_local(source, data)) if source.is_local else source.repo
    identity = _identity(source, place)
    if source.streaming:
        stored = cache / f"{identity[:32]}.jsonl"
        if stored.is_file():
            return JsonlRows(stored, cache=cache)
    try:
        found = _load(source, place)
        if not source.streaming:
            return _ArrowRows(found, source, identity)
        _store(found, source, stored)
    except (DataError, TrainingError):
        raise
    except ConnectionError as error:
        raise DataError(_unreachable(source, str(error))) from error
    except Exception as error:  # the builders of many formats raise many kinds
        raise DataError(
            f"cannot read {_shown(source)}: {type(error).__name__}: {error}; check repo, revision, "
            "config and split"
        ) from error
    return JsonlRows(stored, cache=cache)


def _load(source: HubSource, place: str) -> Any:
    with needs_extra("datasets", "train", "reading Hub data sets"):
        import datasets
    builder = datasets.load_dataset_builder(place, source.config, revision=source.revision)
    if not source.is_local and builder.hash != source.revision:
        # Without a network the library takes the newest cached version, whatever was asked for.
        raise DataError(_unreachable(source, f"only its version {builder.hash} is here"))
    if source.streaming:
        found = builder.as_streaming_dataset(split=source.split)
    else:
        builder.download_and_prepare()
        found = builder.as_dataset(split=source.split)
    label = source.columns.get("label", "label")
    if source.holds == "labelled" and label in _classes(found):
        found = found.filter(lambda number: number >= 0, input_columns=[label])
    return found


def _store(found: Any, source: HubSource, stored: Path) -> None:
    """Write a stream's rows, whole or not at all."""
    classes = _classes(found)
    rows: Iterable[dict[str, Any]] = found if source.rows is None else found.take(source.rows)
    stored.parent.mkdir(parents=True, exist_ok=True)
    with replacing(stored) as part, part.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(_named(row, classes), default=str) + "\n")


class _ArrowRows:
    """Rows of a memory-mapped data set."""

    def __init__(self, found: Any, source: HubSource, identity: str) -> None:
        self._found = found if source.rows is None else found.take(min(source.rows, len(found)))
        if not len(self._found):
            raise DataError(f"{_shown(source)} is empty: expected rows")
        self._classes, self._shown = _classes(found), _shown(source)
        self.digest = identity

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        return _named(self._found[index], self._classes)

    def place(self, index: int) -> str:
        return f"{self._shown}, row {index}"


def _classes(found: Any) -> Mapping[str, Any]:
    """The columns that hold numbers of classes."""
    import datasets

    features = found.features or {}  # a stream may not know them
    return {name: f for name, f in features.items() if isinstance(f, datasets.ClassLabel)}


def _named(row: Mapping[str, Any], classes: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: row[name] for name in classes if row[name] is not None and row[name] >= 0}
    return {**row, **{name: classes[name].int2str(n) for name, n in numbers.items()}}


def _local(source: HubSource, data: Path) -> Path:
    folder = (data / Path(source.repo).expanduser()).resolve()
    if not folder.is_dir():
        raise DataError(f"no folder at {folder}: repo is {source.repo!r}, a local path")
    return folder


def _identity(source: HubSource, place: str) -> str:
    """Tells what will be read from anything else; a local folder by its files' content."""
    digest = hashlib.sha256(source.model_dump_json().encode())
    if source.is_local:
        for path in sorted(p for p in Path(place).rglob("*") if p.is_file()):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(place)}\0{content}\n".encode())
    return digest.hexdigest()


def _unreachable(source: HubSource, reason: str) -> str:
    folder = source.repo.rpartition("/")[2]
    return (
        f"cannot reach {_shown(source)} ({reason}): connect to the network for the first run; or "
        f"where there is one, run `hf download {source.repo} --repo-type dataset --revision "
        f"{source.revision} --local-dir {folder}`, copy the folder below the data folder, and give "
        f"repo: ./{folder} without a revision"
    )


def _shown(source: HubSource) -> str:
    version = "" if source.revision is None else f"@{source.revision[:12]}"
    config = "" if source.config is None else f" ({source.config})"
    return f"the data set {source.repo}{version}{config}, split {source.split!r}"
