"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "write_file"]


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
