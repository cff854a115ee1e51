"""What is said of a name that no model has: the nearest ones, and where all of them are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

__all__ = ["copies_without", "expected_name", "pinned_commit"]

_LISTED = 3


def expected_name(name: str, names: Sequence[str]) -> str:
    """The end of an error: what may have been meant, and what there is.

    Args:
        name: that nothing is called; of a repository the last part is compared.
        names: that there are, the most used first.
    """
    last = name.rpartition("/")[2].partition("@")[0].lower()
    near = get_close_matches(last, names, n=2, cutoff=0.7)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    more = len(names) - _LISTED
    others = f" or one of {more} more (docs/backbones.md)" if more > 0 else ""
    return (
        f"{meant}expected one of {', '.join(names[:_LISTED])}{others}, a folder that exists, or a "
        "Hub repository pinned as owner/name@<40-digit commit>"
    )


def pinned_commit(repo: str, revision: str) -> str:
    """What is said of a repository that is asked for at no commit."""
    return (
        f"the backbone {repo} is asked for at {revision!r}: expected the 40 digits of a commit, "
        "pinned as owner/name@<40-digit commit>, since branches and tags move. The Hub shows it "
        "under Files, History"
    )


def copies_without(folder: str) -> str:
    """What is said where $UNIMOER_BACKBONES names a place that has no copy; "" where none is named.

    Args:
        folder: the copy's name.
    """
    copies = os.environ.get("UNIMOER_BACKBONES")
    if not copies:
        return ""
    if not Path(copies).expanduser().is_dir():
        return f" ($UNIMOER_BACKBONES is {copies!r}, which is no folder)"
    return f" ($UNIMOER_BACKBONES is {copies!r}, which has no folder {folder})"
