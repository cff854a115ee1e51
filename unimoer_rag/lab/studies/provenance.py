"""What a run ran on and with, for its record and for a study's result."""

from __future__ import annotations

from unimoer_rag.evaluation import versions
from unimoer_rag.lab.bench.report import describe_machine

__all__ = ["found_versions", "machine"]


def machine() -> dict[str, str]:
    """System, device, instructions, cores and threads."""
    found = describe_machine()
    return {
        "system": found["system"],
        "device": found.get("accelerator", found["processor"]),
        "instructions": " ".join(found["instructions"]),
        "cores": str(found["cores"]),
        "threads": str(found["threads"]),
    }


def found_versions() -> dict[str, str]:
    """Versions of what a study's numbers depend on."""
    return versions([], others=("scipy", "scikit-learn"))
