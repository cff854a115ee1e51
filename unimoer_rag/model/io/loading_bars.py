"""No progress bars that nobody asked for: a model of this size loads in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_bars"]


@contextmanager
def no_bars() -> Iterator[None]:
    """Load with transformers, inside the block, without its bar "Loading weights".

    What the program had set for its own models holds again afterwards.
    """
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
