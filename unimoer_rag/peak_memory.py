"""The most memory that this process has had; not on Windows, whose systems are asked otherwise."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

__all__ = ["peak"]


def peak() -> int:
    """Most bytes this process has had in main memory so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux counts a parent's memory into what getrusage says of its child
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    return used if platform.system() == "Darwin" else used * 1024
