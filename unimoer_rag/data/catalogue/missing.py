"""What to download by hand where there is no network."""

from __future__ import annotations

from collections.abc import Sequence

from unimoer_rag.data.catalogue.hub_folder import HubFolder
from unimoer_rag.data.catalogue.known import KNOWN, Suite
from unimoer_rag.data.catalogue.remote import RemoteFile
from unimoer_rag.data.catalogue.sets import Known
from unimoer_rag.errors import DataError

__all__ = ["missing_files", "missing_suite", "readable_size"]


def missing_files(known: Known, split: str, files: Sequence[RemoteFile], reason: str) -> DataError:
    """The error of a data set whose files are not here and cannot be fetched.

    Args:
        known: the data set.
        split: of it.
        files: all that it needs, in one folder.
        reason: why they are not fetched.
    """
    return DataError(
        f"{reason}. Where there is a network, get what {known.name} {split} needs ({known.what}; "
        f"{known.licence}):\n"
        + "".join(f"  {line}\n" for line in _commands(known.name, files))
        + f"and bring the folder here: unimoer-rag eval {known.name} --data {known.name} "
        f"--split {split}"
    )


def missing_suite(suite: Suite, lacking: Sequence[str], reason: str) -> DataError:
    """The error of a benchmark of which data sets are not here and cannot be fetched.

    Args:
        suite: the benchmark.
        lacking: names of the sets that are missing.
        reason: why they are not fetched.
    """
    files = {name: KNOWN[name].files(KNOWN[name].default_split) for name in lacking}
    size = sum({file.url: file.size for each in files.values() for file in each}.values())
    lines = [
        line for name, each in files.items() for line in _commands(f"{suite.name}/{name}", each)
    ]
    return DataError(
        f"{reason}. Where there is a network, get what {suite.name} needs ({suite.what}; about "
        f"{readable_size(size)}):\n"
        + "".join(f"  {line}\n" for line in lines)
        + f"and bring the folder here: unimoer-rag eval {suite.name} --data {suite.name}. Or run "
        "the command there, and bring the folder that HF_HOME names"
    )


def _commands(folder: str, files: Sequence[RemoteFile]) -> list[str]:
    """The commands that make a folder of the files."""
    folders = dict.fromkeys(
        f"{folder}/{file.local_name}".rpartition("/")[0] for file in files if "/" in file.local_name
    )
    lines = [f"mkdir -p {' '.join(folders or [folder])}"]
    for file in files:
        if isinstance(file, HubFolder):
            line = file.command(folder)
        else:
            line = f"curl -fL -o {folder}/{file.local_name} {file.url}"
        lines.append(f"{line}   # {readable_size(file.size)}")
    return list(dict.fromkeys(lines))


def readable_size(n_bytes: int) -> str:
    """Such as "498 MB", in decimal units."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{n_bytes} bytes"
        size /= 1000
    return f"{size:.3g} GB"
