"""Every error the library raises on purpose.

```
UnimoerError
├── InputError              a value the caller passed (also a ValueError)
├── MissingExtraError       an optional dependency is not installed (also an ImportError)
├── BackboneError           a backbone could not be resolved or loaded
├── CheckpointError         a checkpoint is missing, corrupt or of another kind
│   └── DigestMismatchError bytes on disk are not the pinned ones
├── StoredIndexError             something about an index
│   ├── IndexMismatchError  opened with another model, dimension or chunking
│   ├── IndexLockedError    another process is writing it
│   └── IndexCorruptError   its files cannot be read
├── StoreError              the vector store failed (disk full, server error)
│   ├── StoreUnavailableError   nothing answers at the URL
│   └── StoreAuthError          the server refused the key
├── ReadError               a file could not be turned into text
├── DataError               a data set is missing or malformed
├── GenerationError         a generator failed or broke off
│   ├── GeneratorUnavailableError   its server or engine does not answer, or is overloaded
│   └── GeneratorRefusedError       it refuses the key, the model or the prompt
└── TrainingError           a training run cannot start, resume or go on

UnimoerWarning              base of the warnings (also a UserWarning)
└── UntrainedWarning        a model was loaded that can do less than it seems to
```

Messages name the offending value, what was expected, and the remedy.
"""

from __future__ import annotations

__all__ = [
    "BackboneError",
    "CheckpointError",
    "DataError",
    "DigestMismatchError",
    "GenerationError",
    "GeneratorRefusedError",
    "GeneratorUnavailableError",
    "IndexCorruptError",
    "IndexLockedError",
    "IndexMismatchError",
    "InputError",
    "MissingExtraError",
    "ReadError",
    "StoreAuthError",
    "StoreError",
    "StoreUnavailableError",
    "StoredIndexError",
    "TrainingError",
    "UnimoerError",
    "UnimoerWarning",
    "UntrainedWarning",
]


class UnimoerError(Exception):
    """Base of every error raised on purpose by unimoer-rag."""


class InputError(UnimoerError, ValueError):
    """An argument has a value that cannot be used."""


class MissingExtraError(UnimoerError, ImportError):
    """An optional dependency is needed for what was asked."""

    def __init__(
        self, package: str, extra: str, purpose: str, *, install: str | None = None
    ) -> None:
        self.package, self.extra = package, extra
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install '{install or f'unimoer-rag[{extra}]'}'"
        )


class BackboneError(UnimoerError):
    """A backbone could not be resolved, downloaded or loaded."""


class CheckpointError(UnimoerError):
    """A checkpoint is missing, corrupt, truncated or of another format."""


class DigestMismatchError(CheckpointError):
    """Bytes on disk differ from the digest they are pinned to."""


class StoredIndexError(UnimoerError):
    """Base of the errors about an index."""


class IndexMismatchError(StoredIndexError):
    """An index was built with another model, dimension or chunking."""


class IndexLockedError(StoredIndexError):
    """Another process holds the index."""


class IndexCorruptError(StoredIndexError):
    """The files of an index are missing or unreadable."""


class StoreError(UnimoerError):
    """The vector store failed while reading or writing."""


class StoreUnavailableError(StoreError):
    """No server answers at the given URL."""


class StoreAuthError(StoreError):
    """The server refused the API key."""


class ReadError(UnimoerError):
    """A file could not be turned into text."""


class DataError(UnimoerError):
    """A data set is missing, malformed or lacks the split asked for."""


class GenerationError(UnimoerError):
    """A generator failed, or broke off in the middle of an answer."""


class GeneratorUnavailableError(GenerationError):
    """The generator's server or engine does not answer, or stays overloaded."""


class GeneratorRefusedError(GenerationError):
    """The generator refused what was asked: the key, the model, the prompt."""


class TrainingError(UnimoerError):
    """A training run cannot start, resume or continue."""


class UnimoerWarning(UserWarning):
    """Base of the warnings that unimoer-rag gives."""


class UntrainedWarning(UnimoerWarning):
    """A model was loaded of which some tasks have not been trained."""
