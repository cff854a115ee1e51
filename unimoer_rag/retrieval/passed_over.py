"""What to do about files that were passed over."""

from __future__ import annotations

from collections.abc import Mapping

from unimoer_rag.retrieval.readers import INSTEAD, PICTURES, Ocr

__all__ = ["remedies"]


def remedies(skipped: Mapping[str, int], *, ocr: bool = True) -> list[str]:
    """How some of what was passed over is read after all, a sentence each.

    Args:
        skipped: as `AddReport.skipped`: how many, by kind.
        ocr: it was not turned off.

    >>> remedies({"hidden": 2, ".doc": 1, ".md~": 1})
    ['.doc is read when it is saved as .docx']
    """
    told = [
        f"{kind} is read when it is saved as {INSTEAD[kind]}" for kind in skipped if kind in INSTEAD
    ]
    pictures = [kind for kind in skipped if kind in PICTURES]
    if pictures and ocr and not Ocr.is_installed():
        told.append(f"pip install 'unimoer-rag[ocr]' reads the text in {', '.join(pictures)}")
    return told
