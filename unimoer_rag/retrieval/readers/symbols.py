"""Characters of the fonts Symbol and Wingdings, which Word names by their place in the font."""

from __future__ import annotations

__all__ = ["symbol"]

_LETTERS = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖαβχδεφγηιϕκλμνοπθρστυϖωξψζ",
)
_SYMBOL = {
    **{ord(latin): greek for latin, greek in zip(*_LETTERS, strict=True)},
    0xA3: "≤", 0xA5: "∞", 0xAB: "↔", 0xAC: "←", 0xAE: "→", 0xB0: "°", 0xB1: "±", 0xB3: "≥",
    0xB4: "×", 0xB6: "∂", 0xB7: "•", 0xB8: "÷", 0xB9: "≠", 0xBA: "≡", 0xBB: "≈", 0xBC: "…",
    0xC5: "⊕", 0xC7: "∩", 0xC8: "∪", 0xCE: "∈", 0xD2: "®", 0xD3: "©", 0xD4: "™", 0xD5: "∏",
    0xD6: "√", 0xDE: "⇒", 0xE5: "∑", 0xF2: "∫",
}  # fmt: skip
_WINGDINGS = {
    0x4A: "☺", 0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "❑", 0x76: "❖", 0xA7: "▪", 0xA8: "◻",
    0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xE8: "➔", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑",
}  # fmt: skip


def symbol(font: str, code: str) -> str:
    """The character at a place in a font, as Unicode has it; U+FFFD where it has no name here.

    >>> symbol("Symbol", "F061")
    'α'
    """
    try:
        at = int(code, 16)
        character = chr(at)
    except (ValueError, OverflowError):
        return ""
    if "symbol" in font.lower():
        return _SYMBOL.get(at & 0xFF, "\ufffd")
    if "wingdings" in font.lower():
        return _WINGDINGS.get(at & 0xFF, "\ufffd")
    return "\ufffd" if 0xE000 <= at <= 0xF8FF else character
