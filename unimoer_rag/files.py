"""Files written whole or not at all, as the umask has them, and read up to a size."""

from __future__ import annotations

import os
import re
import secrets
import stat
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


# Halves of UTF-16 pairs, which UTF-8 cannot hold.
_SURROGATE = re.compile("[\ud800-\udfff]")


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A new file to write, which takes the place of `path` when the block ends well.

    It lies beside `path` and is renamed at the end: a reader, a crash or a full disk never leaves
    half a file. Where the block fails, what was there before is untouched and the new file goes.
    Who could read `path` before can read it afterwards; a new one is as the umask has it.

    Args:
        path: of the file.
        private: let its owner alone read it, whoever could before.

    Raises:
        OSError: the folder cannot be written.
    """
    part = _beside(path, private=private)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may keep the name and lose the bytes
        if path.exists() and not private:
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _beside(path: Path, *, private: bool) -> Path:
    """A new, empty file beside another, which nobody may read that may not read that one."""
    # `tempfile` makes files private and the umask cannot be asked without changing it for other
    # threads, so the system makes the file and applies it. The name is cut: it may be long.
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.part")
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666
    mode = 0o600 if private else mode
    # The owner writes it whatever the old one allowed.
    os.close(
        os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode | stat.S_IWUSR | stat.S_IRUSR)
    )
    return part


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file through `replacing`, text as UTF-8.

    A link stays, and the file behind it is written. So is what is no file, such as `/dev/null`.
    Of text, what UTF-8 cannot hold (lone surrogates) becomes U+FFFD.

    Raises:
        OSError: it could not be written; what was there before is untouched.
    """
    content = _SURROGATE.sub("\ufffd", data).encode() if isinstance(data, str) else data
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a device or a pipe must not give way to a file
        return
    with replacing(path.resolve()) as part:
        part.write_bytes(content)
