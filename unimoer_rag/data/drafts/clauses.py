"""An English sentence taken apart where that is safe: its subject, its verb, and what follows.

What is not told apart safely is refused: pronouns, negations, exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from unimoer_rag.data.drafts.verbs import FINITE, Verb, find_verb

__all__ = ["DETERMINERS", "RELATIVE", "Clause", "take_apart"]

_MOST_SUBJECT, _MOST_WORDS = 9, 40
# A sentence that begins so speaks of another one, of nothing in particular, or not of its subject.
_NO_SUBJECT = frozenset(
    """
 it its they their them this that these those he she his her we our i you your there here both
 others another one no nobody none nothing not neither in on at by for from to with without within
 during after before since until when while if unless because although as then so but and or
 however otherwise once only even also among amongst despite like unlike besides following
 according today now currently usually often sometimes what who where which how why please
""".split()  # noqa: SIM905 - a list to read
)
DETERMINERS = frozenset(("a", "an", "the", "all", "every", "each", "any", "some", "most", "many"))
_OF_OTHERS = re.compile(
    r"[Tt]he (?:rest|others?|same|latter|former|first|second|third|fourth|fifth|last)"
)
RELATIVE = re.compile(r"\b(?:that|which|who|whose|whom|where)\b")
_REFUSED = re.compile(
    r"\b(?:not|never|no|nor|except|unless|only|but|neither|it|they|them)\b|n['\u2019]t\b"
)
_ENDS = re.compile(
    rf", (?!\d)|\u2014| because | so that | although | whereas |[;:] | which | where | until "
    rf"| and (?:{'|'.join(sorted(FINITE))})\b"
)
_HANGING = re.compile(r"\b(?:at|on|in|of|by|for|to|from|with|and|or|than|the|a|an)$")


class Clause(NamedTuple):
    """A sentence taken apart.

    Attributes:
        subject: as it stands within a sentence.
        auxiliary: what a question puts in front of it.
        base: of the verb, behind the subject; "" where the auxiliary was the verb.
        rest: what follows, up to where another clause begins.
    """

    subject: str
    auxiliary: str
    base: str
    rest: str

    def ask(self, what: str, *parts: str) -> str:
        """The question with that word in front and those parts behind the verb."""
        words = " ".join(filter(None, (what, self.auxiliary, self.subject, self.base, *parts)))
        return " ".join(words.split()).replace(" ,", ",").rstrip(" ,;:") + "?"


def take_apart(sentence: str, is_name: Callable[[str, str], bool]) -> Clause | None:
    """The clause that a sentence begins with; None where it is none that can be turned.

    Args:
        sentence: in a line.
        is_name: see `rules.ask`.
    """
    words = sentence.rstrip(".").split()
    if not (4 <= len(words) <= _MOST_WORDS and sentence.endswith(".") and words[0][0].isupper()):
        return None
    verb = find_verb([word.rstrip(",;:") for word in words])
    if verb is None or verb.at > _MOST_SUBJECT or not _names_itself(words[: verb.at], words[0]):
        return None
    first = words[0] if is_name(words[0], words[1]) else words[0][0].lower() + words[0][1:]
    subject = " ".join([first, *words[1 : verb.at]])
    rest = _ENDS.split(" " + " ".join(words[verb.at + 1 :]), maxsplit=1)[0].strip()
    if not rest or _HANGING.search(rest) or _REFUSED.search(rest) or _refuses(words, verb):
        return None
    return Clause(subject, verb.auxiliary, verb.base, rest)


def _refuses(words: list[str], verb: Verb) -> bool:
    """Whether what was cut off takes back what is asked: "except on Sundays"."""
    behind = " ".join(words[verb.at :])
    return bool(re.search(r"\b(?:except|unless|but not|not)\b", behind))


def _names_itself(subject: list[str], first: str) -> bool:
    text = " ".join(subject)
    alone = len(subject) == 1 and first.lower() in DETERMINERS
    return not (
        first.lower().strip(",") in _NO_SUBJECT
        or alone
        or "," in text
        or re.search("[:£$€\u2014]", text)
        or _OF_OTHERS.fullmatch(text)
        or RELATIVE.search(text)
        or _REFUSED.search(text.lower())
    )
