"""Bearer keys: who may read, and who may write.

A file of keys has a line for each: the key, then `read` (the default) or `write`, which reads too.
Empty lines and those that begin with `#` say nothing:

```
# the web page
sk-4b1fd5e0c8a94b7f
# the crawler
sk-93ce0a7be1d24a06 write
```
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from unimoer_rag.errors import InputError
from unimoer_rag.files import read_bounded

__all__ = ["Keys", "Scope"]

Scope = Literal["read", "write"]

_KEY = re.compile(r"[!-~]{16,512}")
_BYTES = 1 << 20


class Keys:
    """Keys with their scopes. Only digests are kept, and a given key is compared with all of them.

    Args:
        scopes: by the SHA-256 of the key.

    >>> keys = Keys.parse(["sk-4b1fd5e0c8a94b7f write"], where="keys")
    >>> keys.scope("sk-4b1fd5e0c8a94b7f"), keys.scope("sk-another")
    ('write', None)
    """

    def __init__(self, scopes: Mapping[bytes, Scope] | None = None) -> None:
        self._scopes = dict(scopes or {})

    def __bool__(self) -> bool:
        """Whether there are any: a server without keys asks for none."""
        return bool(self._scopes)

    @classmethod
    def parse(cls, lines: Iterable[str], *, where: str) -> Keys:
        """The keys of some lines.

        Args:
            lines: as in a file of keys.
            where: they are from, for messages, which never quote a key.

        Raises:
            InputError: a line is none of a key; names its number.
        """
        scopes: dict[bytes, Scope] = {}
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            key, *said = words
            scope = said[0] if said else "read"
            if len(said) > 1 or scope not in ("read", "write") or not _KEY.fullmatch(key):
                raise InputError(
                    f"{where}, line {number}: expected a key of at least 16 visible ASCII "
                    "characters, then read or write"
                )
            if _digest(key) in scopes:
                raise InputError(f"{where}, line {number}: this key stands there twice")
            scopes[_digest(key)] = "write" if scope == "write" else "read"
        return cls(scopes)

    @classmethod
    def load(cls, path: Path | None, text: str | None = None) -> Keys:
        """The keys of a file and of a text, in which commas stand for ends of lines.

        Raises:
            InputError: the file cannot be read or has no key, or a line is none of a key.
        """
        scopes: dict[bytes, Scope] = {}
        if path is not None:
            lines = read_bounded(path, _BYTES, error=InputError).decode("utf-8", "replace")
            found = cls.parse(lines.splitlines(), where=str(path))
            if not found:  # an empty file must not open the door
                raise InputError(f"{path} holds no key: expected a line for each")
            scopes |= found._scopes
        if text is not None:
            scopes |= cls.parse(text.replace(",", "\n").splitlines(), where="the keys")._scopes
            if not scopes:
                raise InputError("the keys are empty: expected keys separated by commas")
        return cls(scopes)

    def with_key(self, key: str, scope: Scope) -> Keys:
        """The same and one more."""
        return Keys({**self._scopes, _digest(key): scope})

    def scope(self, key: str) -> Scope | None:
        """What a key may do; None for one that is not known. Takes the same time for all."""
        given, found = _digest(key), None
        for digest, scope in self._scopes.items():
            if hmac.compare_digest(digest, given):
                found = scope
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
