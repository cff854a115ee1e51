"""A follow-up as a question of its own, by rules over English words.

Three kinds of questions need what was said before:

- a fragment ("And in winter?", "What about kayaks?", "How much for two?") takes the place of its
  like in the question before;
- a bare question word ("Why?", "How much?") and a comparison of nothing named ("Which is cheaper?")
  get the topic of the question before behind them, in parentheses;
- so does a question with a pronoun or demonstrative that nothing before it in the question can
  be meant by ("When is it paid back?").

The topic is what the question before names, from the first such word to the last; before it stands
the name that its answer consists of, if it does. Every other question is left exactly as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from unimoer_rag.pipelines.history import Turn
from unimoer_rag.pipelines.question_words import (
    DETERMINERS,
    PREPOSITIONS,
    TIMES,
    Phrase,
    names,
    phrases,
    words,
)
from unimoer_rag.pipelines.referring import PEOPLE, fragment, reference

__all__ = ["stand_alone"]

_LONGEST = 300  # characters of a question that the rules look at
_BRIEF = 25  # words of a follow-up: a longer question brings what it is about
_MOST_WORDS = 8  # of an answer that is a name
_SUBJECTS = frozenset({"i", "you", "we", "they", "he", "she", "it", "one"})
_AROUND = " \t\n?.!"
_GIVEN = re.compile(r"^(.*) \(([^()]*)\)\?$")  # a follow-up with its topic


def stand_alone(question: str, turns: Sequence[Turn]) -> str:
    """The question, so that it can be understood without the turns before it.

    Args:
        question: what is asked now.
        turns: what was asked and answered before, oldest first.

    Returns:
        The question itself where it stands alone, or nothing before it is known.

    >>> turns = [Turn("How much is the deposit on a tent?", "£75")]
    >>> stand_alone("When is it paid back?", turns)
    'When is it paid back (deposit on a tent)?'
    >>> stand_alone("And on a kayak?", turns)
    'How much is the deposit on a kayak?'
    >>> stand_alone("Who is the head guide?", turns)
    'Who is the head guide?'
    """
    before: Turn | None = None
    for turn in turns:
        asked = turn.question if turn.settled else _follow(turn.question, before)
        before = Turn(asked, turn.answer)
    return _follow(question, before)


def _follow(question: str, before: Turn | None) -> str:
    if before is None or max(len(question), len(before.question)) > _LONGEST:
        return question
    asked = question.strip(_AROUND)
    if len(words(asked)) > _BRIEF:
        return question
    part = fragment(asked)
    if part is not None:
        return _filled(before.question.strip(_AROUND), part)
    referring = reference(asked)
    if referring is None:
        return question
    topic = _topic(before, referring)
    return f"{asked} ({topic})?" if topic else question


# -- what it is about -----------------------------------------------------------------------


def _topic(before: Turn, referring: str) -> str:
    """What a word of a follow-up may refer to."""
    answer = _answered_name(before)
    own = _GIVEN.match(before.question)
    asked = f"{own[2]}, {_span(own[1])}".rstrip(", ") if own else _span(before.question)
    beginning = next(iter(words(before.question)), None)
    kind = beginning.plain if beginning else ""
    if answer and (referring in PEOPLE or referring == "there"):
        parts = [answer]
    elif kind in ("who", "where") and referring in ("it", "its"):
        parts = [asked]
    elif referring == "why" and len(before.answer or "") <= _LONGEST // 2:
        parts = [asked, (before.answer or "").strip(_AROUND)]
    else:
        parts = [answer, asked]
    return ", ".join(part for part in parts if part)


def _answered_name(before: Turn) -> str:
    """The name that an answer consists of, "" where it is no name."""
    answer = (before.answer or "")[: _LONGEST + 1].strip(_AROUND)
    found = names(answer, first=True)
    if not found or any(name.time for name in found):
        return ""
    if len(words(answer)) > _MOST_WORDS or len(answer) > _LONGEST:
        return ""
    return "" if any(character.isdigit() for character in answer) else answer


def _span(question: str) -> str:
    """What a question names, from the first to the last, without what it asks for."""
    named = phrases(question)
    if len(named) > 1 and named[0].asked_for:
        named = named[1:]
    return question[named[0].start : named[-1].end] if named else ""


# -- a fragment in the question before ------------------------------------------------------


def _filled(asked: str, part: str) -> str:
    """The question before, a fragment in the place of what is like it there.

    By the same preposition or the same last word, or else a time for a time, a number for a number,
    a name for a name, a thing for a thing; what is like nothing there is added to it.
    """
    new = words(part)
    joined = new[0].plain in PREPOSITIONS
    bare = part[new[1].start :] if joined and len(new) > 1 else part
    named = [p for p in phrases(asked) if not p.asked_for] or phrases(asked)
    like = [p for p in named if p.preposition and p.preposition.plain == new[0].plain]
    like = like or [p for p in named if new[-1].plain in (word.plain for word in p.words)]
    if not like and any(word.plain in TIMES for word in new):
        like = [p for p in named if p.time]
        if not like:
            return _added(asked, part, joined=joined)
    if not like and bare[0].isdigit():
        like = [p for p in named if p.number]
    if not like and names(bare, first=True):
        like = [name for name in names(asked) if not name.time]
    if not like and joined and bare is not part and new[1].plain not in ("a", "an"):
        return _added(asked, part, joined=joined)
    slot = like[-1] if like else _slot([thing for p in named if (thing := _thing(p))])
    return _put(asked, slot, bare) if slot else _added(asked, part, joined=joined)


def _added(asked: str, part: str, *, joined: bool) -> str:
    """A question with a fragment behind it, its topic in parentheses left at the end."""
    part = f"{part[0].lower()}{part[1:]}" if joined else f"({part})"
    own = _GIVEN.match(f"{asked}?")
    return f"{own[1]} {part} ({own[2]})?" if own else f"{asked} {part}?"


def _thing(phrase: Phrase) -> Phrase | None:
    """What a phrase names, without a verb ("return boots" in "Can I return boots"); no time."""
    if phrase.time:
        return None
    if not phrase.before or phrase.before[-1].plain not in _SUBJECTS:
        return phrase
    return Phrase(phrase.words[1:], ()) if len(phrase.words) > 1 else None


def _slot(named: Sequence[Phrase]) -> Phrase | None:
    """What a thing takes the place of: the last "a ...", or else the last that is joined on."""
    single = [p for p in named if p.determiner and p.determiner.plain in ("a", "an")]
    joined = [p for p in named if p.preposition]
    return next((found[-1] for found in (single, joined, named) if found), None)


def _put(asked: str, slot: Phrase, new: str) -> str:
    """A question with something new in the place of a phrase."""
    found, start, end = words(new), slot.start, slot.end
    # "silk liner add warmth" is no name, but "fleece liner" tells where it ends.
    end = next((word.end for word in slot.words if word.plain == found[-1].plain), end)
    before = [word for word in words(asked) if word.end <= start]
    article = before[-1] if before and before[-1].plain in DETERMINERS else None
    # Its own article takes the place of the other one, and "boots" have none.
    if article and (found[0].plain in DETERMINERS or article.plain in ("a", "an")):
        start = article.start
    if found[-1].plain in ("one", "ones") and len(found) > 1:
        new = f"{new[: found[-1].start]}{slot.words[-1].text}"
    behind = words(asked[end:])
    if len(found) > 1 and behind and behind[0].plain == found[-1].plain:
        end += behind[0].end  # "20 days before", for "30 days before it starts"
    return f"{asked[:start]}{new}{asked[end:]}?"
