"""What to download by hand where there is no network."""

from __future__ import annotations

from collections.abc import Sequence

from unimoer_rag.data.catalogue.known import Known
from unimoer_rag.data.catalogue.remote import RemoteFile
from unimoer_rag.errors import DataError

__all__ = ["missing_files", "readable_size"]


def missing_files(known: Known, split: str, files: Sequence[RemoteFile], reason: str) -> DataError:
    """The error of a data set whose files are not here and cannot be fetched.

    Args:
        known: the data set.
        split: of it.
        files: all that it needs, in one folder.
        reason: why they are not fetched.
    """
    name = known.name
    folders = dict.fromkeys(
        f"{name}/{file.local_name}".rpartition("/")[0] for file in files if "/" in file.local_name
    )
    made = " ".join(folders or [name])
    lines = [
        f"curl -fL -o {name}/{file.local_name} {file.url}   # {readable_size(file.size)}"
        for file in files
    ]
    return DataError(
        f"{reason}. Where there is a network, get what {name} {split} needs ({known.what}; "
        f"{known.licence}):\n"
        + "".join(f"  {line}\n" for line in [f"mkdir -p {made}", *lines])
        + f"and bring the folder here: unimoer-rag eval {name} --data {name} --split {split}"
    )


def readable_size(n_bytes: int) -> str:
    """Such as "498 MB", in decimal units."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{n_bytes} bytes"
        size /= 1000
    return f"{size:.3g} GB"
