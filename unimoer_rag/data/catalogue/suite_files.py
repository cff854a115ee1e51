"""Whether the data sets of a benchmark are here, or can come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unimoer_rag.data.catalogue.known import KNOWN, Suite
from unimoer_rag.data.catalogue.missing import missing_suite

__all__ = ["check_suite"]


def check_suite(suite: Suite, *, data: Path | None = None, cache: Path | None = None) -> int:
    """Bytes, about, that a benchmark's data sets would download; refused where they cannot come.

    Args:
        suite: the benchmark.
        data: a folder with one folder for each set, by its name.
        cache: see `open_dataset`.

    Raises:
        DataError: sets are missing, and there is no network to fetch them by; the message says
            what to get.
    """
    from huggingface_hub import is_offline_mode

    if data is not None:
        lacking = [name for name in suite.names if not (data / name).is_dir()]
        if lacking:
            reason = f"{str(data)!r} lacks {_listed(lacking)} of {suite.name}"
            raise missing_suite(suite, lacking, reason)
        return 0
    files = {name: KNOWN[name].files(KNOWN[name].default_split) for name in suite.names}
    missing = {
        name: {file.url: file.size for file in needed if file.here(cache) is None}
        for name, needed in files.items()
    }
    lacking = [name for name, of_set in missing.items() if of_set]
    if lacking and is_offline_mode():
        n = len(suite.names)
        reason = f"{len(lacking)} of {n} data sets of {suite.name} are not on this machine, and "
        raise missing_suite(suite, lacking, reason + "HF_HUB_OFFLINE is set")
    # What several sets need comes once.
    sizes = {url: size for of_set in missing.values() for url, size in of_set.items()}
    return sum(sizes.values())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
