"""Nothing printed that nobody asked for: a model of this size loads in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_bars"]


@contextmanager
def no_bars() -> Iterator[None]:
    """Load with transformers, inside the block, without its bar "Loading weights" and its report.

    The report names tensors that the model has no place for, such as a projection or a head that is
    read apart. What is missing is an error here. What the program had set for its own models holds
    again afterwards.
    """
    from transformers.utils import logging

    shown, told = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(max(told, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(told)
        if shown:
            logging.enable_progress_bar()
