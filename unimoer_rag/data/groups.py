"""Groups read from rows as they are drawn: nothing of the text is held in memory.

Every passage of every row has a position, in the order of the rows. An index, made once for each
content and kept in the cache, says where a row's positions begin, at which position a passage came
first, and which rows ask the same: so a passage that answers in one row is known in every other.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.data.by_place import ByPlace
from unimoer_rag.data.columns import Example, read_example
from unimoer_rag.data.examples import Group, TrainingSet
from unimoer_rag.data.jsonl_rows import Rows
from unimoer_rag.errors import DataError

__all__ = ["has_negatives", "open_rows", "read_row"]

T = TypeVar("T")

_RECENT = 256  # rows kept as they were read: a draw asks for a row's passages one by one
_LAYOUT = "1"  # part of every key: indices of an older layout are made again


def open_rows(
    name: str,
    rows: Rows,
    *,
    cache: Path,
    columns: Mapping[str, str] = {},
    scored: bool = False,
) -> TrainingSet:
    """The groups of a data set's rows, read as they are asked for.

    The first time every row is read, so what is wrong with one is told before training.

    Args:
        name: of the data set.
        rows: triples or scored groups; see `columns`.
        cache: folder of indices, by content.
        columns: our names of columns -> those of the rows.
        scored: scores are required.

    Raises:
        DataError: a row is malformed; names the file and line.
    """

    @lru_cache(maxsize=_RECENT)
    def read(at: int) -> Example:
        return read_row(rows, at, lambda row: read_example(row, columns, scored=scored))

    key = hashlib.sha256(
        repr([_LAYOUT, rows.digest, sorted(columns.items()), scored]).encode()
    ).hexdigest()[:32]
    index = _Index.load(cache / key) or _Index.make(cache / key, map(read, range(len(rows))))
    return TrainingSet(name, _Texts(read, index), _Groups(read, index))


def has_negatives(source: TrainingSet) -> bool:
    """Whether some group has a passage that does not answer."""
    if isinstance(source.groups, _Groups):
        return source.groups.has_negatives
    return any(group.negatives for group in source.groups)


def read_row(rows: Rows, at: int, read: Callable[[dict[str, Any]], T]) -> T:
    """What a reader makes of a row.

    Raises:
        DataError: the row is malformed; names where it stands.
    """
    try:
        return read(rows[at])
    except ValueError as error:
        raise DataError(f"{rows.place(at)}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Index:
    """What is known of all rows, as arrays on disk.

    Attributes:
        begins: position of each row's first passage, and one behind the last, int64 `[n + 1]`.
        n_positives: passages that answer, int32 `[n]`.
        first: where the passage at each position came first, int64 `[positions]`.
        asked: rows in the order of their queries' hashes, int64 `[n]`.
        hashes: of the queries in lower case, in that order, uint64 `[n]`.
    """

    begins: NDArray[np.int64]
    n_positives: NDArray[np.int32]
    first: NDArray[np.int64]
    asked: NDArray[np.int64]
    hashes: NDArray[np.uint64]

    @classmethod
    def load(cls, folder: Path) -> _Index | None:
        """The index in a folder; None where there is none, or a damaged one."""
        try:
            arrays = {
                f.name: np.load(folder / f"{f.name}.npy", mmap_mode="r", allow_pickle=False)
                for f in fields(cls)
            }
        except (OSError, ValueError):
            return None
        return cls(**arrays)

    @classmethod
    def make(cls, folder: Path, examples: Iterator[Example]) -> _Index:
        """Read all rows once; whole in the folder, or nothing there."""
        begins, n_positives = array("q", [0]), array("i")
        passages, queries = array("Q"), array("Q")
        for example in examples:
            passages.extend(map(_hash, example.texts))
            begins.append(len(passages))
            n_positives.append(example.n_positive)
            queries.append(_hash(example.query.lower()))
        _, first, which = np.unique(
            np.asarray(passages, np.uint64), return_index=True, return_inverse=True
        )
        hashes = np.asarray(queries, np.uint64)
        asked = np.argsort(hashes, kind="stable")
        index = cls(
            begins=np.asarray(begins, np.int64),
            n_positives=np.asarray(n_positives, np.int32),
            first=first[which].astype(np.int64),
            asked=asked.astype(np.int64),
            hashes=hashes[asked],
        )
        index._save(folder)
        return cls.load(folder) or index

    def _save(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as part:
            made = Path(part) / "index"
            made.mkdir()
            for f in fields(self):
                np.save(made / f"{f.name}.npy", getattr(self, f.name), allow_pickle=False)
            shutil.rmtree(folder, ignore_errors=True)  # a damaged one
            try:
                made.rename(folder)
            except OSError:  # made meanwhile by another process
                if not folder.is_dir():
                    raise

    def positives(self, row: int) -> NDArray[np.int64]:
        """Where the passages that answer a row's query came first."""
        begin = int(self.begins[row])
        return self.first[begin : begin + int(self.n_positives[row])]

    def same_query(self, query: str) -> NDArray[np.int64]:
        """The rows that ask the same words."""
        left, right = (
            np.searchsorted(self.hashes, np.uint64(_hash(query.lower())), side)
            for side in ("left", "right")
        )
        return self.asked[left:right]


class _Texts(ByPlace[str]):
    """The passages by position."""

    def __init__(self, read: Callable[[int], Example], index: _Index) -> None:
        self._read, self._index = read, index

    def __len__(self) -> int:
        return len(self._index.first)

    def at(self, place: int) -> str:
        """The passage at a position."""
        row = int(np.searchsorted(self._index.begins, place, "right")) - 1
        return self._read(row).texts[place - int(self._index.begins[row])]


class _Groups(ByPlace[Group]):
    """The rows as groups."""

    def __init__(self, read: Callable[[int], Example], index: _Index) -> None:
        self._read, self._index = read, index

    @property
    def has_negatives(self) -> bool:
        """Some row has a passage that does not answer."""
        return bool((np.diff(self._index.begins) > self._index.n_positives).any())

    def __len__(self) -> int:
        return len(self._index.n_positives)

    def at(self, place: int) -> Group:
        """The group of a row."""
        example, index = self._read(place), self._index
        relevant = {
            int(p) for r in index.same_query(example.query) for p in index.positives(int(r))
        }
        begin, end = int(index.begins[place]), int(index.begins[place + 1])
        others = index.first[begin + example.n_positive : end]
        kept = [(at, int(p)) for at, p in enumerate(others) if int(p) not in relevant]
        scores = example.scores
        return Group(
            query=example.query,
            positive=int(index.first[begin]),
            relevant=tuple(sorted(relevant)),
            negatives=tuple(p for _, p in kept),
            scores=(scores[0], *(scores[1 + at] for at, _ in kept)) if scores else (),
            answers=example.answers,
        )


def _hash(text: str) -> int:
    coded = text.encode(errors="surrogatepass")  # JSON may hold halves of UTF-16 pairs
    return int.from_bytes(hashlib.blake2b(coded, digest_size=8).digest())
