"""Bytes into characters: by their mark, as UTF-8, as declared, and only then by guessing."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from unimoer_rag.retrieval.limits import MAX_TEXT_BYTES, TooLargeError, in_mebibytes
from unimoer_rag.retrieval.readers.extracted import UnreadableError

__all__ = ["Decoded", "decode"]


class Decoded(NamedTuple):
    """Characters, and what to tell about how they were found."""

    text: str
    notes: tuple[str, ...] = ()


# UTF-32's mark begins with UTF-16's, so it is looked for first.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# In HTML, XML, Python and Emacs: charset=..., encoding="...", coding: ...
_DECLARED = re.compile(rb"""(?:charset|encoding|coding)\s*[=:]\s*["']?([A-Za-z0-9._-]{2,30})""")
_DECLARED_WITHIN = 2048

# What declares itself as the first is in practice the second, which has more characters.
_SUPERSETS = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}

# Most likely first: where the guesses are equally good, the first is taken.
_LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1254", "cp1257", "mac_roman", "cp850")
_OTHER = (
    "cp1251", "cp1253", "cp1256", "cp1255", "cp932", "gb18030", "big5", "euc_kr", "euc_jp",
    "koi8_r", "cp874", "utf_16_le", "utf_16_be",
)  # fmt: skip
# Characters of ASCII and of the punctuation of Chinese and Japanese.
_COMMON = re.compile("[\t\n\r -~\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f]")
_NEARLY_AS_GOOD = 0.05
_SAMPLE = 1 << 16
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r\f\x1a\x1b"))


def decode(data: bytes) -> Decoded:
    """The characters of a text file, its newlines as "\\n".

    Args:
        data: the whole file.

    Raises:
        UnreadableError: it is no text, or its encoding cannot be told.
        TooLargeError: it is larger than any text.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise TooLargeError(f"its text is larger than {in_mebibytes(MAX_TEXT_BYTES)}")
    found = _marked(data) or _utf_8(data)
    if found is None and (b"\0" in data or _n_controls(data)):
        found = _utf_16(data)
    if found is None:
        _refuse_binary(data)
        found = _declared(data) or _nearly_utf_8(data) or _guessed(data)
    if "\0" in found.text:
        raise _binary(found.text.index("\0"), "character")
    return found._replace(text=found.text.replace("\r\n", "\n").replace("\r", "\n"))


def _marked(data: bytes) -> Decoded | None:
    name = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if name is None:
        return None
    text = _strictly(data, name)
    if text is None:
        raise _not_text(data, name)
    return Decoded(text)


def _utf_8(data: bytes) -> Decoded | None:
    text = _strictly(data, "utf-8")
    # UTF-16 of ASCII is UTF-8 with NULs, which no text has.
    return None if text is None or "\0" in text else Decoded(text)


def _utf_16(data: bytes) -> Decoded | None:
    """UTF-16 without a mark, told by its spaces and punctuation, of which it needs some."""
    if len(data) % 2 or (data.isascii() and _n_controls(data) < 0.4 * len(data)):
        return None
    sample = data[:_SAMPLE]
    sides = {name: sample.decode(name, "replace") for name in ("utf_16_le", "utf_16_be")}
    common = {name: len(_COMMON.findall(text)) for name, text in sides.items()}
    name = max(common, key=lambda side: common[side])
    if common[name] < 0.03 * len(sides[name]) or not _looks_written(sides[name]):
        return None
    text = _strictly(data, name)
    return None if text is None else Decoded(text, _note(name))


def _looks_written(text: str) -> bool:
    return sum(c.isprintable() or c.isspace() for c in text) >= 0.99 * len(text)


def _n_controls(data: bytes) -> int:
    return len(data) - len(data.translate(None, _CONTROLS))


def _refuse_binary(data: bytes) -> None:
    if _n_controls(data) > 0.002 * len(data) + 1 or b"\0" in data:
        raise _binary(next(at for at, byte in enumerate(data) if byte in _CONTROLS), "byte")


def _binary(at: int, unit: str) -> UnreadableError:
    return UnreadableError(
        f"expected text, found a control character at {unit} {at}: it seems to be a binary file; "
        "save it as UTF-8 text or remove it"
    )


def _declared(data: bytes) -> Decoded | None:
    found = _DECLARED.search(data[:_DECLARED_WITHIN])
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode()).name
    except LookupError:
        return None
    for choice in (_SUPERSETS.get(name, name), name):
        text = _strictly(data, choice)
        if text is not None:
            return Decoded(text)
    return None


def _nearly_utf_8(data: bytes) -> Decoded | None:
    """UTF-8 with a few bytes that are not: as everything shows it."""
    text = data.decode("utf-8", "replace")
    n_bad = text.count("\ufffd")
    n_good = sum(c > "\x7f" for c in text) - n_bad
    if n_good < 4 * n_bad:
        return None
    noun = "byte is" if n_bad == 1 else "bytes are"
    return Decoded(text, (f"{n_bad} {noun} not UTF-8 and stands as \ufffd: save it as UTF-8",))


def _guessed(data: bytes) -> Decoded:
    from charset_normalizer import from_bytes

    sample = b"\n".join(line for line in data.splitlines() if not line.isascii())[:_SAMPLE]
    letters = re.sub(rb"[^A-Za-z\x80-\xff]", b"", sample)
    n_high = sum(byte > 0x7F for byte in letters)
    latin = n_high <= 2 or 2 * n_high < len(letters)
    names: tuple[str, ...] = _LATIN if latin else _OTHER
    matches = list(from_bytes(sample, cp_isolation=list(names), threshold=0.4))
    if matches and latin:
        best = min(match.chaos - match.coherence / 2 for match in matches)
        good = {
            name
            for match in matches
            if match.chaos - match.coherence / 2 <= best + _NEARLY_AS_GOOD
            for name in match.could_be_from_charset
        }
        names = tuple(sorted(names, key=lambda name: name not in good))
    elif not latin:
        names = (matches[0].encoding, *names) if matches else ()
    for name in names:
        text = _strictly(data, name)
        if text is not None:
            return Decoded(text, _note(name))
    raise _not_text(data, "utf-8")


def _note(name: str) -> tuple[str, ...]:
    shown = name.replace("_", "-").replace("cp125", "Windows-125").upper().replace("WIN", "Win")
    return (f"read as {shown.replace('DOWS', 'dows')}, a guess: save it as UTF-8 to be sure",)


def _strictly(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeError, LookupError):
        return None


def _not_text(data: bytes, name: str) -> UnreadableError:
    try:
        data.decode(name)
    except UnicodeDecodeError as error:
        where = f"byte {error.object[error.start]:#04x} at offset {error.start}"
    except UnicodeError as error:
        where = str(error)
    else:
        where = "it decodes to no text"
    return UnreadableError(
        f"it is not {name.upper()} text ({where}); save it as UTF-8, or remove it if it is a "
        "binary file"
    )
