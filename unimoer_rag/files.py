"""Files written whole or not at all, and read up to a size."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unimoer_rag.errors import UnimoerError

__all__ = ["read_bounded", "replacing", "write_file"]


def read_bounded(path: Path, max_bytes: int, *, error: type[UnimoerError]) -> bytes:
    """The content of a file, device or pipe that holds no more than some bytes.

    Raises:
        UnimoerError: of the type `error`: it cannot be read, or holds more; names it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}") from problem
    except ValueError as problem:  # a name with a NUL in it
        raise error(f"cannot read {str(path)!r}: {problem}") from problem
    if len(data) > max_bytes:
        raise error(f"{path} is larger than the {max_bytes:,} bytes that are read of such a file")
    return data


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file to write, which takes the place of `path` when the block ends well.

    It lies beside `path` and is renamed at the end: a reader, a crash or a full disk never leaves
    half a file. Where the block fails, what was there before is untouched and the new file goes.

    Raises:
        OSError: the folder cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may keep the name and lose the bytes
        # mkstemp makes files private; these are read like any other file.
        part.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file through `replacing`, text as UTF-8.

    A link stays, and the file behind it is written. So is what is no file, such as `/dev/null`.

    Raises:
        OSError: it could not be written; what was there before is untouched.
    """
    content = data.encode() if isinstance(data, str) else data
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a device or a pipe must not give way to a file
        return
    with replacing(path.resolve()) as part:
        part.write_bytes(content)
