"""Archives of XML, which office files are: parts unpacked within a bound, read as events."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import IO, NamedTuple
from urllib.parse import unquote

from unimoer_rag.retrieval.limits import MAX_UNPACKED_BYTES, TooLargeError, in_mebibytes
from unimoer_rag.retrieval.readers.extracted import UnreadableError

__all__ = ["Archive", "Relation", "Target", "attribute", "check_depth", "split_tag"]

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PIECE = 1 << 16
_MAX_DEPTH = 1024
_MAX_DIRECTORY = 16 << 20


class Target:
    """What is told of a part's elements and text, in their order; by itself it does nothing."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def data(self, text: str) -> None:
        """Text of the innermost open element; one text may come in pieces."""

    def close(self) -> None:
        """The part is over."""


class Relation(NamedTuple):
    """One part named by another: by what id, as what kind (the last word of its type), which."""

    id: str
    kind: str
    part: str


class Archive:
    """A zip file whose parts are XML.

    Args:
        data: the file.

    Raises:
        UnreadableError: it is encrypted, or of the programs before 2007.
        TooLargeError: it has hundreds of thousands of parts.
        zipfile.BadZipFile: it is no zip file.
    """

    def __init__(self, data: bytes) -> None:
        if data.startswith(_OLE):
            raise UnreadableError(
                "it is protected by a password or in the format of before 2007; open it in its "
                "program and save it without a password in the current format"
            )
        _refuse_many_parts(data)
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self._names = {name.lower(): name for name in self._zip.namelist()}
        self._left = MAX_UNPACKED_BYTES

    def __contains__(self, part: str) -> bool:
        return part.lower() in self._names

    def read(self, part: str) -> bytes:
        """All of a part.

        Raises:
            KeyError: there is none of that name.
            TooLargeError: all parts read so far are larger than the bound.
        """
        return b"".join(self._pieces(part))

    def walk(self, part: str, target: Target) -> None:
        """Tell a target of everything in a part; of nothing where there is no such part."""
        from lxml import etree

        if part not in self:
            return
        # libxml2's own bounds hold: on the length of one text, on what entities amount to.
        parser = etree.XMLParser(target=target, resolve_entities=False, no_network=True)
        for piece in self._pieces(part):
            parser.feed(piece)
        parser.close()

    def relations(self, part: str = "") -> list[Relation]:
        """The parts that a part names, or those that the whole file names."""
        folder, name = posixpath.split(part)
        target = _Relations(folder)
        self.walk(posixpath.join(folder, "_rels", f"{name}.rels"), target)
        return target.found

    def related(self, kind: str, part: str = "") -> list[str]:
        """The parts of a kind that a part names, each once."""
        return list(dict.fromkeys(r.part for r in self.relations(part) if r.kind == kind))

    def _pieces(self, part: str) -> Iterator[bytes]:
        name = self._names[part.lower()]
        if self._zip.getinfo(name).flag_bits & 1:
            raise UnreadableError("it is protected by a password; save it without one")
        stream: IO[bytes]
        with self._zip.open(name) as stream:
            while piece := stream.read(_PIECE):
                self._left -= len(piece)
                if self._left < 0:
                    raise TooLargeError(
                        f"it unpacks to more than {in_mebibytes(MAX_UNPACKED_BYTES)}"
                    )
                yield piece


def _refuse_many_parts(data: bytes) -> None:
    """The list of a zip file's parts is read whole, and takes ten times its size in memory."""
    at = data.rfind(b"PK\5\6")
    size = int.from_bytes(data[at + 12 : at + 16], "little")
    if at >= 76 and data[at - 20 : at - 16] == b"PK\6\7":  # the larger form of it stands before
        size = int.from_bytes(data[at - 36 : at - 28], "little")
    if at >= 0 and size > _MAX_DIRECTORY:
        raise TooLargeError(f"its list of parts is larger than {in_mebibytes(_MAX_DIRECTORY)}")


class _Relations(Target):
    def __init__(self, folder: str) -> None:
        self.found: list[Relation] = []
        self._folder = folder

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        target = attributes.get("Target")
        if target is None or attributes.get("TargetMode") == "External":
            return
        kind = attributes.get("Type", "").rpartition("/")[2]
        part = posixpath.normpath(posixpath.join("/", self._folder, unquote(target))).lstrip("/")
        self.found.append(Relation(attributes.get("Id", ""), kind, part))


@lru_cache(maxsize=1 << 12)
def split_tag(tag: str) -> tuple[str, str]:
    """The namespace and the name of an element.

    >>> split_tag("{urn:x}p")
    ('urn:x', 'p')
    """
    namespace, _, name = tag.rpartition("}")
    return namespace.lstrip("{"), name


def check_depth(n_open: int) -> None:
    """Refuse what stands inside too many others.

    Each level may copy what is inside it, so a depth that no program writes costs its square.

    Raises:
        UnreadableError: more than a thousand are open.
    """
    if n_open > _MAX_DEPTH:
        raise UnreadableError(
            f"{n_open} of its elements stand inside one another: more than any program writes; "
            "save it anew, or save its text"
        )


def attribute(attributes: Mapping[str, str], name: str) -> str | None:
    """An attribute's value, whatever its namespace."""
    for key, value in attributes.items():
        if key.rpartition("}")[2] == name:
            return value
    return None
