"""An index folder that is open: its lock, its engine, its manifest, and what each change does."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from unimoer_rag.errors import IndexLockedError, StoredIndexError, StoreError
from unimoer_rag.retrieval.store import base, forks
from unimoer_rag.retrieval.store.checksums import Checksums, has_checksums, remove_checksums
from unimoer_rag.retrieval.store.engine import check_space, engine_errors
from unimoer_rag.retrieval.store.folder import check_folder, count_all, n_bytes_used, open_shard
from unimoer_rag.retrieval.store.lock import lock_folder
from unimoer_rag.retrieval.store.log import check_log
from unimoer_rag.retrieval.store.manifest import (
    Manifest,
    is_index,
    remove_leftovers,
    write_manifest,
)
from unimoer_rag.retrieval.store.quantization import Quantization
from unimoer_rag.retrieval.store.snapshot import Snapshot

__all__ = ["OpenIndex"]

_log = logging.getLogger(__name__)


class OpenIndex:
    """Holds an index folder; see `EdgeStore` for the arguments and what is raised.

    Attributes:
        path: the folder.
        read_only: why nothing can be written; empty where it can.
    """

    def __init__(
        self,
        path: Path,
        *,
        dimension: base.Dimension,
        quantization: Quantization | None,
        hnsw_from: int,
        read_only: bool,
    ) -> None:
        self.path, self.read_only = path, ""
        self._owner = os.getpid()
        self._mutex = threading.RLock()  # the engine refuses, rather than queues, some calls
        self._shard: edge.EdgeShard | None = None
        self._snapshot: Snapshot | None = None
        check_folder(path, dimension)
        try:
            self._lock = lock_folder(path)
        except IndexLockedError:
            if not read_only:
                raise
            self._lock = None
            self._copy("another process has it open", held=True)
        else:
            if self._lock is None:
                if not is_index(path):
                    raise StoreError(
                        f"index {str(path)!r} cannot be made: the folder cannot be written"
                    )
                self._copy("its folder cannot be written", held=False)
            elif read_only:
                self.read_only = "read_only=True was asked for"
        try:
            if self._snapshot is None:
                remove_leftovers(path)
            opened = open_shard(path, self._files, dimension, quantization, hnsw_from)
            self._shard, self._config, self._manifest = opened.shard, opened.config, opened.manifest
            self._proven, self._recorded = opened.proven, has_checksums(self._files)
        except OSError as error:
            self._let_go()
            raise StoreError(f"index {str(path)!r} cannot be opened: {error}") from error
        except BaseException:
            self._let_go()
            raise
        forks.register(self)

    def _copy(self, reason: str, *, held: bool) -> None:
        self._snapshot = Snapshot(self.path, held=held)
        self.read_only = f"{reason}, and this is a copy of it"

    @property
    def _files(self) -> Path:
        return self.path if self._snapshot is None else self._snapshot.files

    @property
    def manifest(self) -> Manifest:
        """What the index was built with."""
        return self._manifest

    def _engine(self) -> edge.EdgeShard:
        if self._shard is None:
            raise StoreError(f"index {str(self.path)!r} is closed; open it again")
        return self._shard

    def _check_process(self) -> None:
        # Before any lock is waited for: a thread that was not forked may have held it.
        if os.getpid() != self._owner:
            raise StoreError(
                f"index {str(self.path)!r} was opened by process {self._owner}, of which this one "
                "is a fork: open it here with read_only=True, or serve it from a Qdrant server"
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[edge.EdgeShard]:
        """The engine, for one call at a time."""
        self._check_process()
        with self._mutex, engine_errors(self.path):
            yield self._engine()

    @contextlib.contextmanager
    def writing(self) -> Iterator[edge.EdgeShard]:
        """The engine, for a change."""
        with self.reading() as shard:
            if self.read_only:
                raise StoreError(
                    f"index {str(self.path)!r} is open for reading only: {self.read_only}"
                )
            self._forget_checksums()
            self._prove(shard)
            if self._manifest.passages is not None:
                self.record(passages=None)  # the count is open until the next flush
            yield shard

    def _prove(self, shard: edge.EdgeShard) -> None:
        if not self._proven:
            check_log(self.path, self._files, shard, interrupted=False)
            self._proven = True

    def _forget_checksums(self) -> None:
        if self._recorded:
            remove_checksums(self.path)
            self._recorded = False

    def record(self, **changes: Any) -> None:
        """Change the manifest; within `writing`."""
        manifest = replace(self._manifest, **changes)
        write_manifest(self._files, manifest)
        self._manifest = manifest

    def flush(self) -> None:
        """Make every change so far durable, power loss included."""
        with self.reading() as shard:
            shard.flush()
            n_passages = count_all(shard)
            if self._manifest.passages != n_passages:
                self.record(passages=n_passages)

    def optimize(self) -> None:
        """See `EdgeStore.optimize`."""
        with self.reading() as shard:
            if self.read_only:
                return
            shard.flush()
            try:
                check_space(self.path, n_bytes_used(self.path))
            except StoreError as error:
                _log.warning("the index was not optimized: %s", error)
                return
            self._forget_checksums()
            if shard.optimize():
                shard.flush()

    def close(self) -> None:
        """Flush and free the folder; closing twice is harmless, and so is closing in a fork."""
        if os.getpid() != self._owner:
            return
        with self._mutex:
            if self._shard is None:
                return
            try:
                self.flush()
                if not self._recorded and not self.read_only:
                    self._record_checksums()
            finally:
                self._let_go()

    def _record_checksums(self) -> None:
        """Leave the files as an opening leaves them, and note what they are."""
        shard = self._engine()
        try:
            with engine_errors(self.path):
                self._prove(shard)
                shard.flush()
                shard.close()
                # The first opening after a change tidies the files up; the next ones do not.
                self._shard = edge.EdgeShard.load(str(self.path / "shard"), self._config)
                self._shard.close()
                self._shard = None
                Checksums.of(self.path).write(self.path)
        except (StoreError, StoredIndexError) as error:
            _log.warning("no checksums were recorded: %s", error)

    def _let_go(self) -> None:
        shard, self._shard = self._shard, None
        try:
            if shard is not None:
                with engine_errors(self.path):
                    shard.close()
        finally:
            if self._snapshot is not None:
                self._snapshot.close()
            if self._lock is not None:
                self._lock.release()

    def abandon(self) -> None:
        """Leave all to the process that this one is forked from (see `forks`)."""
        self._mutex = threading.RLock()
        if self._shard is not None:
            forks.leave_behind(self._shard, {self.path, self._files})
