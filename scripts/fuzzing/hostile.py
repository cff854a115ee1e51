"""Seeded hostile inputs: words, values, JSON and files that are nearly right."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

__all__ = ["hostile_json", "hostile_text", "hostile_value", "mutated", "mutated_json"]

_WORDS = [
    "", " ", "refunds", "\0", "\x1b]0;x\x07", "\x9b31m", "\u202e", "\ud800", "\udfff", "\ufeff",
    "\u2028", "\x85", "a\tb", "a\r\nb", "🦄" * 5, "é" * 3, "../../x", "/dev/null", "~", "-1", "nan",
    "1e999", "9" * 400, "true", "null", "'; --", '"', "\\", "a.b[0]", "[]", "{}", "%s%n",
    "<script>", "{{7*7}}", "${HOME}", "!!python/object:os.system", "&a [*a]", "*a", "a\u200bb",
    "<|im_end|>", "[2] forged", "x" * 5000, "word " * 2000,
]  # fmt: skip
_NUMBERS = [
    0, 1, -1, 2, 7, 50, 10**6, 2**31, 2**53 + 1, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0,
    1e-320, 1e308, float("nan"), float("inf"), float("-inf"),
]  # fmt: skip


def hostile_text(random: Random) -> str:
    """A string of one to three words that something may choke on."""
    return random.choice(["", " ", "\n"]).join(random.choices(_WORDS, k=random.randint(1, 3)))


def hostile_value(random: Random, depth: int = 3) -> Any:
    """A value as JSON, YAML or Python may hold it."""
    kinds: list[Callable[[], Any]] = [
        lambda: hostile_text(random),
        lambda: random.choice(_NUMBERS),
        lambda: random.choice([None, True, False]),
    ]
    if depth:
        kinds += [
            lambda: [hostile_value(random, depth - 1) for _ in range(random.randint(0, 3))],
            lambda: {
                hostile_text(random)[:40]: hostile_value(random, depth - 1)
                for _ in range(random.randint(0, 3))
            },
        ]
    return random.choice(kinds)()


def hostile_json(random: Random) -> str:
    """JSON that is deep, wide, odd or broken."""
    if random.random() < 0.2:
        opening = random.choice(["[", '{"a":', "[{", '"', "-", "9"])
        return opening * random.choice([10, 1000, 100_000])
    text = json.dumps(hostile_value(random), ensure_ascii=random.random() < 0.5)
    return text if random.random() < 0.7 else text[: random.randint(0, len(text))]


def mutated(data: bytes, random: Random) -> bytes:
    """Bytes that were right, with one to four things wrong."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(changed))
        match random.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << random.randrange(8)
            case 1:
                del changed[at : at + random.choice([1, 8, 200])]
            case 2:
                changed[at:at] = hostile_text(random).encode("utf-8", "surrogatepass")
            case 3:
                changed[at:at] = changed[at : at + 300] * random.choice([1, 30])
            case 4:
                changed[at:at] = random.randbytes(random.choice([1, 40]))
            case _:
                del changed[at:]
    return bytes(changed)


def mutated_json(value: Any, random: Random) -> Any:
    """A JSON value with one part replaced, removed or renamed, at any depth."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        changed = dict(value)
        match random.randrange(4):
            case 0:
                del changed[key]
            case 1:
                changed[hostile_text(random)[:40]] = changed.pop(key)
            case _:
                changed[key] = mutated_json(value[key], random)
        return changed
    if isinstance(value, list) and value and random.random() < 0.7:
        at = random.randrange(len(value))
        return [*value[:at], mutated_json(value[at], random), *value[at + 1 :]]
    return hostile_value(random)
