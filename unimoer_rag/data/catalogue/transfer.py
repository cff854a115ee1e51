"""One file over HTTP: resumed where it broke off, and kept only if it is the pinned one."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import httpx
from filelock import FileLock
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from tenacity.wait import wait_base

from unimoer_rag.errors import DataError
from unimoer_rag.progress import Progress, silent

__all__ = ["TransferError", "check_digest", "download"]

_TIMEOUT = httpx.Timeout(30.0)
_ATTEMPTS = 5
_WAIT = wait_exponential(multiplier=0.5, max=30)
_DIGESTS = {"": "SHA-256", "md5": "MD5"}


class TransferError(DataError):
    """A server could not be reached, or broke off too often; what came is kept for next time."""


class _BrokenOffError(Exception):
    """A transfer that may go on if it is asked for again."""


def download(
    url: str,
    target: Path,
    *,
    digest: str,
    on_progress: Progress = silent,
    wait: wait_base | None = None,
) -> None:
    """Bring a file here, unless it is here.

    What came of it before an interruption lies beside it as `.part`, and the next call goes on
    from there. It gets its name when it is whole and has the digest.

    Args:
        url: where it is.
        target: where it goes; folders are made.
        digest: of the whole file: its SHA-256, or `md5:` and its MD5.
        on_progress: called with the file's name, the bytes that are here and the size, or 0.
        wait: between attempts, of tenacity; by default half a second, then ever longer.

    Raises:
        TransferError: the server does not answer or breaks off again and again.
        DataError: the server refuses the file, it has another digest, or it cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if target.is_file():
                return
            _receive(url, part, on_progress, wait or _WAIT)
            check_digest(url, part, digest)
            os.replace(part, target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}") from error


def _receive(url: str, part: Path, on_progress: Progress, wait: wait_base) -> None:
    attempts = Retrying(
        retry=retry_if_exception_type((_BrokenOffError, httpx.TransportError)),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait,
        reraise=True,
    )
    try:
        attempts(_go_on, url, part, on_progress)
    except (_BrokenOffError, httpx.TransportError) as error:
        raise TransferError(
            f"could not download {url} ({type(error).__name__}: {error}); the "
            f"{_size(part):,} bytes that came are kept, and the next try goes on from there"
        ) from error


def _go_on(url: str, part: Path, on_progress: Progress) -> None:
    """Ask for what is missing, and write it behind what is there."""
    have = _size(part)
    # As it is: a server that unpacks or packs it on the way would change its bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with (
        httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _total(answer) == have:
                return  # all of it had come
            part.unlink()
            raise _BrokenOffError("the server has less than came before: from the beginning")
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise _BrokenOffError(f"status {answer.status_code}")
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise DataError(f"{url} answers with status {answer.status_code}: no file to download")
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        if not resumed:
            have = 0  # a server without ranges sends all of it again
        total = _total(answer)
        with part.open("ab" if resumed else "wb") as file:
            # As it arrives, not in blocks of a size: what waits for more would be lost.
            for block in answer.iter_raw():
                file.write(block)
                have += len(block)
                on_progress(part.name.removesuffix(".part"), have, total)


def _total(answer: httpx.Response) -> int:
    """The size of the whole file, or 0 where the server does not tell."""
    _, slash, size = answer.headers.get("Content-Range", "").rpartition("/")
    if not slash:
        size = answer.headers.get("Content-Length", "")
    return int(size) if size.isdecimal() else 0


def _size(part: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return part.stat().st_size
    return 0


def check_digest(url: str, part: Path, digest: str) -> None:
    """Refuse and remove a file that is not the pinned one.

    Args:
        url: where it came from.
        part: where it is.
        digest: that it must have; see `download`.

    Raises:
        DataError: it has another.
    """
    kind, _, expected = digest.rpartition(":")
    with part.open("rb") as file:
        # MD5 tells damage and change; nobody here relies on it against forgery.
        actual = hashlib.file_digest(file, lambda: hashlib.new(kind or "sha256")).hexdigest()
    if actual != expected:
        part.unlink()
        raise DataError(
            f"{url} gave a file with {_DIGESTS[kind]} {actual}, expected {expected}: it was "
            "damaged on the way or has changed there; nothing of it is kept"
        )
