"""A sentence with a definite fact turned into a question that the fact answers.

Only what can be turned without knowing grammar is: a subject that names itself, one verb of a
closed list, and behind it an amount, a span of time, a date, a count, a name or a place. The verb
goes in front, as English asks:

| sentence | question | answer |
|---|---|---|
| A wetsuit costs £8 more. | How much more does a wetsuit cost? | £8 |
| Order records are kept for 7 years, because ... | How long are order records kept? | 7 years |

What is not told apart safely is left out: pronouns, negations, exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from unimoer_rag.data.drafts.clauses import DETERMINERS, RELATIVE, Clause, take_apart
from unimoer_rag.data.drafts.values import COUNT, MEASURE, MONEY, NAME, OFTEN, SPAN, TIME

__all__ = ["Fact", "ask"]


class Fact(NamedTuple):
    """A question and what answers it.

    Attributes:
        question: what is asked.
        answers: words of the sentence, the shortest that answers first.
        kind: of the fact, in a word.
    """

    question: str
    answers: tuple[str, ...]
    kind: str


_TAIL_WORDS = "less|more|off|extra|cheaper"
_PHRASE_END = re.compile(
    r" (?:for|in|from|to|at|on|by|with|after|before|within|when|if|and|or|as|than|during|until|"
    r"under|over|above|below|into|out|away|off|who|that)\b.*$"
)
_ROLE = re.compile(
    r"\b(?:officer|manager|director|head|guide|lead|leader|owner|founder|chair|chairman|secretary|"
    r"president|editor|author|contact|coordinator|buyer|minister|king|queen|captain|coach|inventor|"
    r"trainer|clerk|treasurer|principal|dean|representative|auditor|adviser|engineer)\b"
)
_PLACED = re.compile(
    r"(?P<mid>|listed |kept |stored |held |sold |published |based |located |found |displayed |"
    r"posted |situated |open |available |printed |written )"
    r"(?P<place>(?:in|at|on|near|behind|beside|above|under) "
    r"(?:[A-Z]|the |a |an |our |every |both |all )[^,;]*)"
)


def ask(sentence: str, *, is_name: Callable[[str, str], bool]) -> Fact | None:
    """The question that a sentence answers; None where no rule applies.

    Args:
        sentence: with a full stop, in a line.
        is_name: whether a word that begins a sentence, before another, keeps its capital in one.
    """
    found = take_apart(sentence, is_name)
    if found is None:
        return None
    for rule in (_who, _money, _often, _span, _measure, _time, _count, _where, _what):
        if (fact := rule(found)) is not None and _holds(fact, sentence):
            return fact
    return None


def _holds(fact: Fact, sentence: str) -> bool:
    """Whether the answer is the sentence's own, and not told by the question already."""
    asked = fact.question.lower()
    return all(a and a in sentence and a.lower() not in asked for a in fact.answers)


def _money(clause: Clause) -> Fact | None:
    return _amount(clause, MONEY, "money")


def _measure(clause: Clause) -> Fact | None:
    return _amount(clause, MEASURE, "amount")


def _amount(clause: Clause, of: re.Pattern[str], kind: str) -> Fact | None:
    found = of.search(clause.rest)
    if found is None or clause.rest[: found.start()].strip() not in ("", "paid", "charged"):
        return None
    before, tail = clause.rest[: found.start()], _tail(clause.rest[found.end() :])
    if part := re.match(r" of (?:the |its |their |his |her )?\w+", tail):
        if clause.auxiliary in ("is", "are", "was", "were"):
            return None
        asked = clause.ask(f"How much{part.group()}", before, tail[part.end() :])
        return Fact(asked, (found.group(),), kind)
    much = re.match(rf" ?({_TAIL_WORDS})\b", tail)
    if much is None or much[1] == "off":
        return Fact(clause.ask("How much", before, tail), (found.group(),), kind)
    asked = clause.ask(f"How much {much[1]}", before, tail[much.end() :])
    return Fact(asked, (found.group(),), kind)


def _often(clause: Clause) -> Fact | None:
    found = OFTEN.search(clause.rest)
    if found is None or MONEY.search(clause.rest) or COUNT.match(clause.rest):
        return None
    before, tail = clause.rest[: found.start()], _tail(clause.rest[found.end() :])
    if re.search(r"\d", before) or re.search(r"\b(?:at (?:most|least)|than|of) $", before):
        return None
    return Fact(clause.ask("How often", before, tail), (found.group(),), "frequency")


def _span(clause: Clause) -> Fact | None:
    found = SPAN.search(clause.rest)
    if found is None:
        return None
    before, tail = clause.rest[: found.start()], _tail(clause.rest[found.end() :])
    mid, _, preposition = before.rstrip().rpartition(" ")
    if preposition not in ("for", "within"):
        mid, preposition = before.strip(), ""
    if re.search(r"\d|\b(?:and|than)$", mid):
        return None
    value, unit = found.group(), found["unit"]
    if preposition == "for":
        return Fact(clause.ask("How long", mid, tail), (value, f"for {value}"), "duration")
    if preposition == "within":
        of = re.match(r" (?:of|from|after) [\w' -]+", tail)
        units = unit if unit.endswith("s") else f"{unit}s"
        what = f"Within how many {units}{of.group() if of else ''}"
        asked = clause.ask(what, mid, tail[of.end() :] if of else tail)
        return Fact(asked, (value, f"within {value}"), "duration")
    lasting = clause.base in ("take", "last") or (clause.auxiliary in ("is", "are") and not mid)
    if not mid and lasting and not tail.startswith((" old", " of ", " or ")):
        return Fact(clause.ask("How long", tail), (value,), "duration")
    return None


def _time(clause: Clause) -> Fact | None:
    found = TIME.search(clause.rest)
    if found is None:
        return None
    before, tail = clause.rest[: found.start()].rstrip(), _tail(clause.rest[found.end() :])
    mid, _, preposition = before.rpartition(" ")
    if preposition not in ("at", "on", "in", "from", "by", "before", "until", "between", "since"):
        if before or clause.auxiliary not in ("is", "was"):
            return None
        preposition = ""
    if (
        re.search(r"\d|[£$€]|^,", mid + tail)
        or tail.startswith((",", " and"))
        or mid.endswith(("due", " than"))
    ):
        return None
    value = found.group()
    first = (f"{preposition} {value}", value) if preposition == "before" else (value,)
    more = (f"{preposition} {value}",) if preposition and len(first) == 1 else ()
    what = "By when" if preposition == "by" else "When"
    return Fact(clause.ask(what, mid, tail), (*first, *more), "time")


def _count(clause: Clause) -> Fact | None:
    found = COUNT.search(clause.rest)
    if found is None or (not clause.base and clause.auxiliary in ("is", "are", "was", "were")):
        return None
    before = clause.rest[: found.start()].strip()
    if len(before.split()) > (0 if clause.base else 1) or before in ("be", "have"):
        return None
    noun = _PHRASE_END.sub("", clause.rest[found.end() :])
    if not re.match(r"(?:[\w'-]+ )*?[\w'-]*s\b", noun) or " to " in f" {noun} ":
        return None
    tail = _tail(clause.rest[found.end() + len(noun) :])
    if re.search(r"\d", tail) or re.match(r" (?:and|or|as|than|that)\b", tail):
        tail = ""
    number, counted = found["number"], noun.split(" a ")[0].split(" of ")[0]
    whole = f"{clause.rest[found.start('number') : found.end()]}{counted}"
    return Fact(clause.ask(f"How many {noun}", before, tail), (whole, number), "count")


def _who(clause: Clause) -> Fact | None:
    by = re.match(
        rf"(?P<done>\w+(?:ed|en|un|ld|wn|ade)) by "
        rf"(?P<name>{NAME.pattern})",
        clause.rest,
    )
    if by is not None and clause.auxiliary in ("is", "are", "was", "were"):
        return Fact(clause.ask("Who", by["done"], "by"), (by["name"],), "person")
    name = NAME.fullmatch(clause.rest) or NAME.match(clause.rest)
    if clause.auxiliary in ("is", "was") and name is not None and _ROLE.search(clause.subject):
        tail = clause.rest[name.end() :]
        return Fact(clause.ask("Who", tail), (name.group(),), "person") if not tail else None
    named = re.fullmatch(rf"{NAME.pattern}(?: and {NAME.pattern})?", clause.subject)
    if named is None or clause.subject.split()[0].lower() in DETERMINERS:
        return None
    if (
        clause.auxiliary in ("is", "was")
        and re.match("the ", clause.rest)
        and _ROLE.search(clause.rest)
    ):
        role = _PHRASE_END.sub("", clause.rest) if " and " in clause.rest else clause.rest
        return Fact(f"Who {clause.auxiliary} {role}?", (clause.subject,), "person")
    return None


def _where(clause: Clause) -> Fact | None:
    found = _PLACED.fullmatch(clause.rest)
    if found is None or clause.auxiliary not in ("is", "are", "was", "were"):
        return None
    place = re.split(
        r" (?:and (?:is|are|was|has)|with|for|when|if|to|by|as|from)\b", found["place"]
    )[0]
    inner = place.split(" ", 1)[1]
    if re.search(r"\b(?:way|case|time|order|addition|use|basis|average|end|form)\b", inner):
        return None
    if (
        not 1 <= len(inner.split()) <= 8
        or TIME.search(inner)
        or (found["mid"] == "based " and "on " in place[:3])
    ):
        return None
    return Fact(clause.ask("Where", found["mid"]), (inner, place), "place")


def _what(clause: Clause) -> Fact | None:
    defined = re.fullmatch(r"(?:a|an|the|[A-Z][\w-]+['\u2019]s) [^,;]+", clause.rest)
    if defined is None or clause.auxiliary not in ("is", "was") or RELATIVE.search(clause.rest):
        return None
    # An adjective at the end is the first of several, cut off at its comma.
    if not 2 <= len(clause.rest.split()) <= 8 or clause.rest.endswith(("ed", "al", "ive", "ous")):
        return None
    return Fact(clause.ask("What"), (clause.rest,), "definition")


def _tail(text: str) -> str:
    """What goes on behind a value, without a second fact."""
    for part in _pieces(text):
        if re.search(r"\d|[£$€]", part):
            text = text[: text.index(part)]
            break
    return text.rstrip()


def _pieces(text: str) -> Iterator[str]:
    yield from (found.group() for found in re.finditer(r" (?:and|or|plus|to|at|on|from) .*$", text))
