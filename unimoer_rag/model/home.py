"""The process that a model was loaded in: its threads, and torch's, are not in a fork of it."""

from __future__ import annotations

import os
from typing import Any

from unimoer_rag.errors import UnimoerError

__all__ = ["Home"]


class Home:
    """The process it was made in. Copied or pickled, it is that of the copy."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def left(self) -> bool:
        """Whether this process is a fork of it."""
        return os.getpid() != self._pid

    def check(self) -> None:
        """Raise in a fork, where a wait for its threads would never end.

        Raises:
            UnimoerError: this process is a fork of the one it was made in.
        """
        if self.left:
            raise UnimoerError(
                f"this model was loaded in process {self._pid} and cannot run in its fork "
                f"{os.getpid()}: load it after the fork, or start processes by 'spawn'"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return Home, ()
