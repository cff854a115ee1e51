"""A file that came over HTTP, as a document."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from unimoer_rag.errors import InputError, ReadError
from unimoer_rag.retrieval import Document
from unimoer_rag.retrieval.readers import read_document

__all__ = ["read_upload"]

_LONGEST = 500


def read_upload(name: str, data: bytes) -> Document:
    """Read a file's bytes by the ending of its name.

    Args:
        name: its source, such as `reports/2026.pdf`; no file of this machine is named by it.
        data: the bytes.

    Raises:
        InputError: the name is none, or the file cannot be read; says why.
    """
    parts = PurePosixPath(name).parts
    if not name or len(name) > _LONGEST or not name.isprintable() or {"..", "/"} & set(parts):
        raise InputError(
            f"{name!r:.80} cannot be a document's name: expected a relative path such as "
            "reports/2026.pdf"
        )
    with tempfile.TemporaryDirectory(prefix="unimoer-") as folder:
        place = Path(folder) / f"upload{PurePosixPath(name).suffix}"
        place.write_bytes(data)
        try:
            document = read_document(place, source=name)
        except ReadError as error:
            raise InputError(str(error).replace(str(place), name)) from error
    # The same name replaces it, whatever its title.
    return replace(document, document_id=name)
