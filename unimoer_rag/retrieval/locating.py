"""Where the file of a passage lies on this machine, and its address for a viewer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

from unimoer_rag.retrieval.replacing import lies_within
from unimoer_rag.retrieval.roots import Root
from unimoer_rag.retrieval.store import Label
from unimoer_rag.retrieval.types import Passage

__all__ = ["Places"]


class Places:
    """The folders that an index was made of.

    Args:
        roots: as `Roots.known` gives them.
    """

    def __init__(self, roots: Iterable[Root] = ()) -> None:
        self._roots = sorted(roots, key=lambda root: len(root.name), reverse=True)

    def find(self, passage: Passage) -> Path | None:
        """The file that a passage was read from; None where none is there now.

        So it is for texts that no file held, for files that are gone or lie on another machine,
        and for names that were written out since they are no text.
        """
        name = Label.of(passage).file
        root = next((root for root in self._roots if lies_within(name, root.name)), None)
        if root is None or "\\" in name:
            return None
        below = PurePath(name[len(root.name) :].lstrip("/"))
        if ".." in below.parts:
            return None
        path = root.folder / below
        try:
            return path if path.is_file() else None
        except (OSError, ValueError):
            return None

    def address(self, passage: Passage, page: int | None = None) -> str | None:
        """The file's `file:` URI, of a PDF with a page; None where there is no file.

        Args:
            passage: what is to be looked at.
            page: of the document, in the place of that on which the passage begins.
        """
        path = self.find(passage)
        if path is None:
            return None
        page = page or passage.page
        shown = f"#page={page}" if page and path.suffix.lower() == ".pdf" else ""
        return f"{path.as_uri()}{shown}"
