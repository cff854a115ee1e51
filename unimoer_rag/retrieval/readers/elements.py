"""The elements that are open while the events of an XML part come."""

from __future__ import annotations

from unimoer_rag.retrieval.readers.archive import check_depth

__all__ = ["OpenElements"]


class OpenElements:
    """Names of the open elements, outermost first, and whether what they hold is read.

    Attributes:
        names: of the elements.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._skipped_at = 0  # how many are open at the outermost that is not read; 0 for none

    @property
    def is_read(self) -> bool:
        """Whether none of them is skipped."""
        return not self._skipped_at

    def enter(self, name: str) -> bool:
        """Note that one begins; whether it is read.

        Raises:
            UnreadableError: too many are open.
        """
        self.names.append(name)
        check_depth(len(self.names))
        return self.is_read

    def skip(self, name: str | None = None) -> None:
        """Read nothing more of the innermost, or of the outermost of a name, if one is open."""
        if name is None:
            self._skipped_at = len(self.names)
        elif name in self.names:
            self._skipped_at = self.names.index(name) + 1

    def leave(self) -> bool:
        """Note that the innermost ends; whether it was read."""
        was_read = self.is_read
        if self._skipped_at == len(self.names):
            self._skipped_at = 0
        self.names.pop()
        return was_read
