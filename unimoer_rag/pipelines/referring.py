"""Whether a question needs what was said before it, and by which of its words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unimoer_rag.pipelines.question_words import (
    AUXILIARIES,
    COMPARED,
    DETERMINERS,
    PREPOSITIONS,
    QUESTION_WORDS,
    TIMES,
    VERBS,
    Phrase,
    Word,
    names,
    phrases,
    words,
)

__all__ = ["PEOPLE", "fragment", "reference"]

_FRAGMENT = 8  # words of one at most
PEOPLE = frozenset({"he", "him", "his", "she", "her", "hers"})
_THINGS = frozenset({"it", "its", "they", "them", "their", "theirs"})
_POSSESSIVE = frozenset({"its", "their", "his", "her"})
_POINTING = frozenset({"this", "that", "these", "those"})
_OPEN = frozenset({"which", "what", "who", "anything", "something"})
_UNITS = frozenset({"day", "week", "month", "year", "years", "season", "time", "date"})
_CLAIMING = frozenset({"know", "say", "says", "said", "tell", "tells", "mean", "means", "find"})
_BE = frozenset({"is", "are", "was", "were", "be", "been"})
_JOINING = re.compile(r"^(?:and|or|but|so|then|ok|okay)\b[\s,]*", re.IGNORECASE)
_ABOUT = re.compile(r"^(?:what|how)\s+(?:about|of)\s+", re.IGNORECASE)
_BARE = re.compile(
    r"^(?:(?:for|since|until|till|by|from|to|at|with|in)\s+)?"
    r"(?:who|whom|whose|what|which|when|where|why|how)"
    r"(?:\s+(?:much|many|long|often|far|soon|late|big|one|ones|not|so|come|exactly|else|then|for|"
    r"from|to|with|time|day|days))*$",
    re.IGNORECASE,
)
_MEASURED = re.compile(r"^how\s+(?:much|many|long|often|far)\s+", re.IGNORECASE)
_CLAUSE = re.compile(r",|\b(?:and|or|if|when|while|because)\b")
_SENTENCE = re.compile(r"[.?!:;]\s")
_TRAILING = re.compile(r"[\s,]+(?:too|as well|then|instead|please)$", re.IGNORECASE)


def fragment(asked: str) -> str | None:
    """What a question without a verb asks about, "about" left out; None of another one."""
    joined = _JOINING.sub("", asked)
    about = _ABOUT.sub("", joined)
    rest = _MEASURED.sub("", about)
    rest = _TRAILING.sub("", rest)
    found = words(rest)
    if not found or len(found) > _FRAGMENT or _BARE.match(joined):
        return None
    if any(_asks(word) for word in found) or _refers(found):
        return None
    begins = found[0].plain in PREPOSITIONS
    measured = rest != _TRAILING.sub("", about) and not begins
    if measured or not (begins or joined != asked or about != joined):
        return None  # "How much rope?", "Gift cards"
    return rest if phrases(rest) or names(rest, first=True) else None


def _asks(word: Word) -> bool:
    return word.plain in QUESTION_WORDS | AUXILIARIES | VERBS and not (
        word.plain in TIMES and word.capital
    )


def _refers(found: Sequence[Word]) -> bool:
    return any(word.plain in PEOPLE | _THINGS | _POINTING for word in found)


def reference(asked: str) -> str | None:
    """The word by which a question refers to what was said before; None where it does not."""
    joined = _JOINING.sub("", asked)
    if _BARE.match(joined):
        return words(joined)[0].plain
    found = words(joined)
    if _compares(found):
        return "it"
    named = phrases(joined)
    for at, word in enumerate(found):
        if _is_reference(found, at, named) and not _is_meant_within(joined, found, at, named):
            return word.plain
    return None


def _is_meant_within(asked: str, found: Sequence[Word], at: int, named: Sequence[Phrase]) -> bool:
    """Whether something else in its own question may be what a word means."""
    word = found[at]
    before = [phrase for phrase in named if phrase.end < word.start]
    following = found[at + 1] if at + 1 < len(found) else None
    if _SENTENCE.search(asked[: word.start]):
        return bool(before)
    if word.plain in _POINTING and following is not None and following.names_something:
        said = any(following.plain in (w.plain for w in phrase.words) for phrase in before)
        return said or any(_CLAUSE.search(asked[p.end : word.start]) for p in before)
    if word.plain in _POSSESSIVE:  # "How much of its sales does Fernway give?"
        later = (one.end for one in found[at:] if one.plain in AUXILIARIES)
        return bool(before) or any(phrase.start > end for end in later for phrase in named)
    # "How many pairs has she fitted" and "the amount it can hold" do not tell who or what.
    return any(not phrase.asked_for and asked[phrase.end : word.start].strip() for phrase in before)


def _compares(found: Sequence[Word]) -> bool:
    """Whether it is "Which is cheaper?" or "Which one lasts longer?"."""
    return (
        2 < len(found) <= 6
        and any(word.plain in _OPEN for word in found)
        and found[-1].plain in COMPARED
        and not any(word.names_something for word in found)
    )


def _is_reference(found: Sequence[Word], at: int, named: Sequence[Phrase]) -> bool:
    word = found[at].plain
    if found[at].text.isupper() and len(word) > 1:
        return False  # IT
    last = found[at - 1].plain if at else ""
    following = found[at + 1] if at + 1 < len(found) else None
    if word in PEOPLE:
        return True
    if word in ("it", "it's"):
        return not _stands_for_a_verb(found[at + 1 :], named)
    if word in _THINGS:
        return True
    if word in _POINTING:  # "that" also joins: "the tent that leaks"
        now = following is not None and following.plain in TIMES | _UNITS
        if word in ("this", "these") and now:
            return False
        if not at or last in AUXILIARIES | PREPOSITIONS | {"and", "all"}:
            return True
        # "the court held that costs are due" points to nothing
        points = word != "that" or following is None or not following.names_something
        return points and last in VERBS - _CLAIMING
    if word == "there":
        beside = {last, following.plain if following else ""}
        return at > 0 and not beside & (_BE | {"there's"})
    if word in ("former", "latter"):
        return last == "the" and (following is None or not following.names_something)
    if word in ("one", "ones"):
        ends = following is None or not (following.names_something or following.plain == "of")
        chosen = last in COMPARED | {"other", "same"} or (last == "which" and not named)
        return ends and (word == "ones" or chosen)
    return False


def _stands_for_a_verb(rest: Sequence[Word], named: Sequence[Phrase]) -> bool:
    """Whether "it" only announces what is asked: "How much is it to rent a tent?"."""
    for at, word in enumerate(rest[:-1]):
        following = rest[at + 1]
        if word.plain == "to" and any(one.plain == "for" for one in rest[:at]):
            return True  # "How long does it take for leather to dry?"
        if word.plain in ("that", "if", "when") or (
            word.plain == "to" and following.plain not in DETERMINERS and not following.capital
        ):
            return any(phrase.end > following.end for phrase in named)
    return False
