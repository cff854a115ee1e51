"""What a forked child keeps of open indexes: nothing.

A child shares its parent's file descriptors, and with them the locks, and the mapped files. An
engine that went on in it, or was merely let go of, would write into the parent's index.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

__all__ = ["Forkable", "leave_behind", "register"]


class Forkable(Protocol):
    """What holds something that a forked child must not have."""

    def abandon(self) -> None:
        """Called in the child, before anything else runs there."""


_registered: weakref.WeakSet[Forkable] = weakref.WeakSet()


def register(held: Forkable) -> None:
    """Have `held.abandon` called in forked children while it lives."""
    _registered.add(held)


def leave_behind(engine: object, folders: Iterable[Path]) -> None:
    """Keep an engine from ever ending, and close what it has open in some folders."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))
    inside = tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in folders)
    with contextlib.suppress(OSError):  # no /proc: descriptors stay, and locks with them
        names = os.listdir("/proc/self/fd")
        void = os.open(os.devnull, os.O_RDWR)
        for name in names:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith(inside):
                    # Not closed: the engine's numbers must not come to mean other files.
                    os.dup2(void, int(name), inheritable=False)
        os.close(void)


def _in_child() -> None:
    for held in list(_registered):
        held.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
