"""What OCR read in a picture, kept by its pixels: indexing again reads no page again.

The folder is `unimoer-rag/ocr` in the user's cache (`XDG_CACHE_HOME`, else `~/.cache`), for this
user alone. It may be deleted at any time; where it cannot be written nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["get", "key", "put"]


def key(picture: Image, model: str) -> str:
    """A name for a picture as a model reads it."""
    digest = hashlib.blake2b(f"1 {model} {picture.mode} {picture.size}".encode(), digest_size=20)
    digest.update(picture.tobytes())
    return digest.hexdigest()


def get(key: str) -> tuple[str, int] | None:
    """The text, and how many lines were left out; None where it is not known."""
    try:
        text, n_left_out = json.loads(_file(key).read_bytes())
    except (OSError, ValueError, TypeError, RuntimeError):
        return None
    return (text, n_left_out) if isinstance(text, str) and isinstance(n_left_out, int) else None


def put(key: str, text: str, n_left_out: int) -> None:
    """Keep both, whole or not at all."""
    try:
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=file.parent)  # readable for this user alone
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(json.dumps([text, n_left_out]).encode())
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise
    except (OSError, RuntimeError):
        return


def _file(key: str) -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    cache = Path(home) if home else Path.home() / ".cache"  # RuntimeError: nobody's home
    return cache / "unimoer-rag" / "ocr" / key
