"""Finite verbs as rules know them: a closed list, so that no noun is taken for one."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FINITE", "Verb", "find_verb"]

_BE = ("is", "are", "was", "were")
_MODAL = ("can", "must", "may", "will", "should", "might", "could")
_PARTICIPLES = ("been", "had", "made", "taken", "given", "kept", "become", "held")

# Third person -> base; all others by -s.
_IRREGULAR = {"goes": "go", "does": "do", "has": "have", "carries": "carry", "passes": "pass"}
_REGULAR = """
 accept add allow answer apply arrive ask begin belong bring buy carry charge close collect come
 compare consist contain cost cover create deliver depend earn employ end exist expire feed fill
 finish follow form gain get give go grow happen have help hold hire include keep last lead learn
 lie live lose make manage mean measure meet mend need offer open operate own pass pay permit
 produce promise provide publish reach read receive remain remove rent repay replace require return
 rise run sell send serve share ship show sit sleep speak spend start stay stand stop store supply
 support take teach travel treat turn use visit wear weigh work write
""".split()  # noqa: SIM905 - a list to read
_PAST = {
    "began": "begin", "bought": "buy", "built": "build", "came": "come", "cost": "cost",
    "created": "create", "died": "die", "discovered": "discover", "ended": "end",
    "founded": "found", "gave": "give", "had": "have", "invented": "invent", "joined": "join",
    "killed": "kill", "led": "lead", "left": "leave", "lost": "lose", "made": "make",
    "married": "marry", "moved": "move", "occurred": "occur", "opened": "open", "paid": "pay",
    "played": "play", "published": "publish", "ran": "run", "received": "receive",
    "released": "release", "ruled": "rule", "served": "serve", "sold": "sell", "spent": "spend",
    "started": "start", "took": "take", "visited": "visit", "weighed": "weigh", "went": "go",
    "won": "win", "wrote": "write",
}  # fmt: skip
_SINGULAR = {f"{base}s": base for base in _REGULAR} | _IRREGULAR
_PLURAL_NOUNS = {"staff", "people", "children", "men", "women", "police", "who", "employees"}


FINITE = frozenset((*_BE, *_MODAL, *_REGULAR, *_SINGULAR, *_PAST, "should", "will"))
"""All of them."""


class Verb(NamedTuple):
    """Where a sentence's verb is, and how a question turns it.

    Attributes:
        at: its place among the words.
        auxiliary: what a question puts before the subject: "is", "can", "does".
        base: what it leaves behind the subject: "cost", "" where the auxiliary was the verb.
    """

    at: int
    auxiliary: str
    base: str


def find_verb(words: list[str]) -> Verb | None:
    """The first finite verb of a sentence that begins with its subject; None where none is known.

    Args:
        words: in the order of the sentence, without punctuation behind them.
    """
    for at, word in enumerate(words[1:], start=1):
        before, after = words[at - 1], words[at + 1] if at + 1 < len(words) else ""
        if word in _BE or word in _MODAL:
            return Verb(at, word, "")
        if after in _BE or after in _MODAL:
            continue  # "sick pay is": a noun
        if word in ("has", "have", "had") and (
            after in _PARTICIPLES or after.endswith(("ed", "en"))
        ):
            return Verb(at, word, "")
        if word in _SINGULAR and not _is_plural(before):
            return Verb(at, "does", _SINGULAR[word])
        if word in _PAST and word != "cost":
            return Verb(at, "did", _PAST[word])
        if word in _REGULAR and _is_plural(before):
            return Verb(at, "do", word)
    return None


def _is_plural(word: str) -> bool:
    lower = word.lower()
    plain = lower.endswith("s") and not lower.endswith(("ss", "us", "is", "'s", "\u2019s"))
    return plain or lower in _PLURAL_NOUNS
