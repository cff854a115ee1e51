"""Parsers kept quiet: warning filters belong to the process, so one thread at a time sets them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_warnings"]

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def without_warnings() -> Iterator[None]:
    """What a parser warns of goes nowhere; other threads that read wait meanwhile."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
