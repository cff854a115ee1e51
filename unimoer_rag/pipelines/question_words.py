"""The words of English questions: which name what a question is about, and which only ask.

Closed lists and capital letters, no tagger: whatever is in no list names something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "AUXILIARIES",
    "COMPARED",
    "DETERMINERS",
    "PREPOSITIONS",
    "QUESTION_WORDS",
    "TIMES",
    "VERBS",
    "Phrase",
    "Word",
    "names",
    "phrases",
    "words",
]


def _list(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUESTION_WORDS = _list("who whom whose what which when where why how")
AUXILIARIES = _list(
    "is are was were be been being am isn't aren't wasn't weren't do does did don't doesn't "
    "didn't have has had haven't hasn't hadn't can could can't cannot couldn't will would won't "
    "wouldn't shall should shouldn't may might must mustn't 's who's what's where's when's how's "
    "there's it's that's"
)
PREPOSITIONS = _list(
    "in on at for of to from by with without about above below over under after before between "
    "during into within until till since through per against off near across along around behind "
    "beyond except outside inside via as than"
)
DETERMINERS = _list(
    "a an the some any each every all both no another other either neither more most less least "
    "much many few fewer several enough own such same only my your our his her its their this "
    "that these those"
)
COMPARED = _list(
    "cheaper dearer bigger smaller larger longer shorter lighter heavier warmer colder faster "
    "slower better worse older newer younger higher lower earlier later closer nearer stronger "
    "safer cheapest dearest biggest smallest largest longest shortest lightest heaviest warmest "
    "coldest fastest slowest best worst oldest newest youngest highest lowest earliest latest "
    "closest nearest strongest safest"
)
VERBS = _list(
    "cost costs take takes took taken last lasts get gets got give gives gave given go goes went "
    "come comes came make makes made need needs needed mean means pay pays paid open opens close "
    "closes work works worked happen happens happened apply applies use uses used want wants run "
    "runs keep keeps kept say says said tell tells know start starts end ends begin begins "
    "expire expires hold holds held leave leaves left bring brings find finds let lets allow "
    "allows allowed include includes included offer offers offered lead leads led manage manages "
    "managed own owns owned weigh weighs handle handles handled serve serves treat treats reach "
    "see sees put puts belong belongs depend depends count counts contain contains"
)
TIMES = _list(
    "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays "
    "thursdays fridays saturdays sundays weekday weekdays weekend weekends january february "
    "march april may june july august september october november december spring summer autumn "
    "winter christmas easter today tomorrow tonight morning mornings afternoon afternoons "
    "evening evenings night nights holiday holidays"
)
_OTHERS = _list(
    "i me mine you yours we us ours he him she hers it they them theirs former latter there here "
    "one ones someone anyone everyone somebody anybody everybody something anything everything "
    "nothing nobody myself yourself itself themselves and or but so if because while though "
    "although whether then not also too just even still already yet again ever never always "
    "usually often soon long far now please actually really very quite else exactly roughly well "
    "back away together possible like able going called"
)
_ASKING_FOR = _list("what which whose how many much")
_SAY_NOTHING = (
    QUESTION_WORDS | AUXILIARIES | PREPOSITIONS | DETERMINERS | COMPARED | VERBS | _OTHERS
)
_WORD = re.compile(r"[^\W_]+(?:[-'’.,:&][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, and where it stands."""

    text: str
    start: int
    end: int

    @property
    def plain(self) -> str:
        """The word to look up."""
        return self.text.casefold().replace("’", "'")

    @property
    def capital(self) -> bool:
        """Whether it is written as a name is."""
        return self.text[0].isupper() and self.text != "I"

    @property
    def number(self) -> bool:
        """Whether it begins with a digit."""
        return self.text[0].isdigit()

    @property
    def names_something(self) -> bool:
        """Whether it is more than a word that asks, joins or refers."""
        return self.plain not in _SAY_NOTHING


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words beside each other that name something.

    Attributes:
        words: all of them.
        before: the words right before them that join or determine them, such as "on a".
    """

    words: tuple[Word, ...]
    before: tuple[Word, ...]

    @property
    def start(self) -> int:
        """Where it starts in its text, what stands before it left out."""
        return self.words[0].start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.words[-1].end

    @property
    def determiner(self) -> Word | None:
        """The article or the like that belongs to it."""
        last = self.before[-1] if self.before else None
        return last if last is not None and last.plain in DETERMINERS else None

    @property
    def preposition(self) -> Word | None:
        """The preposition that joins it to what stands before."""
        found = self.before[-2:] if self.determiner else self.before[-1:]
        return next((word for word in found if word.plain in PREPOSITIONS), None)

    @property
    def asked_for(self) -> bool:
        """Whether it says what kind of answer is wanted: "How many litres", "How heavy"."""
        return bool(self.before) and self.before[-1].plain in _ASKING_FOR

    @property
    def number(self) -> bool:
        """Whether it says how much or how many, in digits."""
        return self.words[0].number

    @property
    def time(self) -> bool:
        """Whether it says when."""
        return any(word.plain in TIMES for word in self.words)


def words(text: str) -> list[Word]:
    """The words of a text, in order."""
    return [Word(found[0], found.start(), found.end()) for found in _WORD.finditer(text)]


def phrases(text: str) -> list[Phrase]:
    """What a text names, in order; a number begins something else than what stands before it.

    >>> text = "How much is the deposit on a rented tent?"
    >>> [text[phrase.start : phrase.end] for phrase in phrases(text)]
    ['deposit', 'rented tent']
    """
    return list(_phrases(text))


def _phrases(text: str) -> Iterator[Phrase]:
    run: list[Word] = []
    before: list[Word] = []
    for word in words(text):
        beside = run and not text[run[-1].end : word.start].strip()
        if run and not (beside and word.names_something and not word.number):
            yield Phrase(tuple(run), tuple(before[-2:]))
            run, before = [], []
        if word.names_something:
            run.append(word)
        else:
            before.append(word)
    if run:
        yield Phrase(tuple(run), tuple(before[-2:]))


def names(text: str, *, first: bool = False) -> list[Phrase]:
    """The names in a text: words with a capital beside each other.

    Args:
        text: any text.
        first: whether its first word may be one; it has a capital in a sentence anyway.

    >>> text = "Who manages the Bristol store on Sundays?"
    >>> [text[name.start : name.end] for name in names(text)]
    ['Bristol', 'Sundays']
    """
    found: list[Phrase] = []
    run: list[Word] = []
    for word in words(text):
        beside = run and not text[run[-1].end : word.start].strip()
        named = (
            word.capital
            and (word.names_something or word.plain in TIMES)
            and (first or word.start > 0)
        )
        if run and not (beside and named):
            found.append(Phrase(tuple(run), ()))
            run = []
        if named:
            run.append(word)
    if run:
        found.append(Phrase(tuple(run), ()))
    return found
