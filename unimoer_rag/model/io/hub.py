"""Files of a model's repository on the Hub, at a commit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unimoer_rag.errors import UnimoerError

__all__ = ["download"]


def download(
    repo: str, revision: str, patterns: Sequence[str], *, error: type[UnimoerError], remedy: str
) -> Path:
    """The folder that has them, downloaded where the Hub's cache has not.

    Args:
        repo: owner/name.
        revision: the commit.
        patterns: globs of the files.
        error: what is raised.
        remedy: ends the message.

    Raises:
        UnimoerError: of the type `error`: the download failed.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except Exception as problem:  # the Hub client raises many kinds, all meaning the same here
        raise error(
            f"could not download {repo} at {revision} ({type(problem).__name__}: {problem}): "
            f"{remedy}"
        ) from problem
