"""Questions that a passage does not answer, made from questions that it does.

SQuAD 2.0's writers broke answerable questions in a few ways (Rajpurkar et al. 2018, table 2):
negation, antonyms, swapped entities and numbers, or a neighbouring subject. The same ways, by
rule, over a set of answerable questions:

- **swap**: a name or number of the question becomes another one of the same article;
- **negate**: the question's verb is negated;
- **antonym**: a word becomes its opposite;
- **neighbour**: the question is asked of another passage of its article;
- **cut**: the sentences that hold the answer are taken out of the passage.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

__all__ = ["break_question", "cut_answer", "sentences"]

_NUMBER = re.compile(r"\b\d[\d,.]*\b")
_NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z][\w'-]+)(?: (?:of |the )?[A-Z][\w'-]+)*")
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|did|does|do|can|could|has|had|have|will|would|should|may|might)\b"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[A-Z0-9])")

_OPPOSITES = (
    ("first", "last"), ("largest", "smallest"), ("biggest", "smallest"), ("highest", "lowest"),
    ("most", "least"), ("more", "fewer"), ("before", "after"), ("began", "ended"),
    ("begin", "end"), ("start", "end"), ("started", "stopped"), ("increase", "decrease"),
    ("increased", "decreased"), ("north", "south"), ("northern", "southern"), ("east", "west"),
    ("eastern", "western"), ("oldest", "newest"), ("older", "younger"), ("early", "late"),
    ("won", "lost"), ("win", "lose"), ("best", "worst"), ("major", "minor"), ("same", "opposite"),
    ("true", "false"), ("public", "private"), ("male", "female"), ("men", "women"),
    ("positive", "negative"), ("support", "oppose"), ("supported", "opposed"),
    ("included", "excluded"), ("include", "exclude"), ("accepted", "rejected"),
    ("allowed", "forbidden"), ("common", "rare"), ("high", "low"), ("higher", "lower"),
    ("large", "small"), ("larger", "smaller"), ("long", "short"), ("longest", "shortest"),
    ("new", "old"), ("open", "closed"), ("rich", "poor"), ("strong", "weak"), ("left", "joined"),
    ("founded", "dissolved"), ("created", "destroyed"), ("built", "demolished"),
    ("born", "killed"), ("bought", "sold"), ("gained", "lost"), ("rose", "fell"),
    ("above", "below"), ("inside", "outside"), ("modern", "ancient"), ("never", "always"),
    ("legal", "illegal"), ("successful", "unsuccessful"), ("important", "unimportant"),
    ("known", "unknown"), ("used", "unused"), ("able", "unable"), ("like", "unlike"),
)  # fmt: skip
_OPPOSITE = dict(_OPPOSITES) | {b: a for a, b in reversed(_OPPOSITES)}
_WORD = re.compile(r"[a-z]+")


def sentences(text: str) -> list[tuple[int, int]]:
    """Character spans of sentences, by punctuation; together they cover the text."""
    starts = [0, *(m.end() for m in _SENTENCE_END.finditer(text))]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def cut_answer(text: str, spans: Sequence[tuple[int, int]]) -> str | None:
    """The text without the sentences that touch an answer span; None if too little is left."""
    kept = [
        text[start:end]
        for start, end in sentences(text)
        if not any(start < e and s < end for s, e in spans)
    ]
    rest = "".join(kept).strip()
    return rest if len(rest) >= 120 else None


def break_question(question: str, article: Sequence[str], rng: random.Random) -> str | None:
    """The question changed so that its passage no longer answers it; None if no way applies.

    Args:
        question: an answerable question.
        article: texts of the same article, to borrow names and numbers from.
        rng: decides which way and which words.
    """
    ways = [_swap, _swap, _antonym, _negate]
    rng.shuffle(ways)
    for way in ways:
        broken = way(question, article, rng)
        if broken is not None and broken != question:
            return broken
    return None


def _swap(question: str, article: Sequence[str], rng: random.Random) -> str | None:
    for pattern in rng.sample((_NUMBER, _NAME), 2):
        found = list(pattern.finditer(question))
        if not found:
            continue
        chosen = rng.choice(found)
        others = {m.group() for text in article for m in pattern.finditer(text)}
        others = {o for o in others if o not in question and chosen.group() not in o}
        if others:
            other = rng.choice(sorted(others))
            return question[: chosen.start()] + other + question[chosen.end() :]
    return None


def _antonym(question: str, article: Sequence[str], rng: random.Random) -> str | None:
    found = [m for m in _WORD.finditer(question) if m.group() in _OPPOSITE]
    if not found:
        return None
    chosen = rng.choice(found)
    return question[: chosen.start()] + _OPPOSITE[chosen.group()] + question[chosen.end() :]


def _negate(question: str, article: Sequence[str], rng: random.Random) -> str | None:
    found = _AUXILIARY.search(question)
    if found is None:
        return None
    word = found.group()
    form = rng.choice(("n't", " not")) if word not in ("can", "will", "may") else " not"
    return question[: found.end()] + form + question[found.end() :]
