"""Drafted questions: what a file of them holds, and how they are drawn from documents."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from unimoer_rag.data.drafts.clauses import DETERMINERS
from unimoer_rag.data.drafts.prose import sentences_of
from unimoer_rag.data.drafts.rules import ask
from unimoer_rag.data.own_questions import plain
from unimoer_rag.retrieval import Passage

__all__ = ["Draft", "as_lines", "by_rules", "dealt", "unique"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted question, to be looked at by a person.

    Attributes:
        question: what is asked.
        answers: in the document's words; empty where the passage as a whole answers.
        source: the document.
        passage: its text that answers: a sentence, or a whole passage.
        kind: what is asked for, in a word.
        span: where the answer stands in the document, in characters; None without an answer.
        held_by: id of the indexed passage that it was drafted from.
        doubts: what speaks against it.
    """

    question: str
    answers: tuple[str, ...]
    source: str
    passage: str
    kind: str
    span: tuple[int, int] | None = None
    held_by: str = ""
    doubts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A row of a file of questions (`read_questions`), JSON-ready."""
        known: dict[str, Any] = {"answers": list(self.answers)} if self.answers else {}
        row = {"question": self.question, **known, "source": self.source, "passage": self.passage}
        span = {} if self.span is None else {"span": list(self.span)}
        doubts = {"doubts": list(self.doubts)} if self.doubts else {}
        return {**row, **span, "kind": self.kind, "draft": True, **doubts}


def as_lines(drafts: Iterable[Draft]) -> str:
    """A file of questions: JSONL, which `read_questions` reads."""
    return "".join(json.dumps(one.to_dict(), ensure_ascii=False) + "\n" for one in drafts)


def by_rules(passages: Sequence[Passage]) -> list[Draft]:
    """Every question that a rule finds in passages, in their order; see `rules`.

    A document in which no rule finds one is asked for by its title, where it has one: such a
    question measures search alone.
    """
    texts = [said.split() for p in passages for _, said in sentences_of(p.text)]
    inner = {
        w.strip(".,;:()")
        for text in texts
        for before, w in pairwise(text)
        if before[-1].isalnum() or before[-1] in ",;"
    }

    def is_name(word: str, following: str) -> bool:
        """Whether it has its capital within sentences, or is a name with the word behind."""
        common = word.lower() in inner or word.lower() in DETERMINERS
        return not common and (word in inner or following[0].isupper())

    drafts: list[Draft] = []
    for passage in passages:
        for start, sentence in sentences_of(passage.text):
            fact = ask(" ".join(sentence.split()), is_name=is_name)
            if fact is None:
                continue
            at = re.search(r"\s+".join(map(re.escape, fact.answers[0].split())), sentence)
            if at is not None:
                begin = passage.start + start
                span = (begin + at.start(), begin + at.end())
                words = " ".join(sentence.split())
                drafts.append(_draft(fact.question, fact.answers, passage, words, fact.kind, span))
    asked = {draft.source for draft in drafts}
    for passage in passages:
        if passage.source not in asked and passage.title.strip():
            asked.add(passage.source)
            question = f"What is said about {passage.title.strip().rstrip('.?!')}?"
            drafts.append(_draft(question, (), passage, passage.text, "title", None))
    return drafts


def _draft(
    question: str,
    answers: tuple[str, ...],
    passage: Passage,
    words: str,
    kind: str,
    span: tuple[int, int] | None,
) -> Draft:
    return Draft(question, answers, passage.source, words, kind, span, passage.id)


def unique(drafts: Iterable[Draft]) -> list[Draft]:
    """Each question once, the first of it; one that has other answers elsewhere is left out.

    Overlapping passages ask the same twice, and so do documents that say the same. A question that
    two documents answer differently ("How much is the deposit?") asks for neither.
    """
    found: dict[str, Draft] = {}
    torn: set[str] = set()
    for draft in drafts:
        key = plain(draft.question)
        first = found.setdefault(key, draft)
        if set(map(plain, first.answers)).isdisjoint(map(plain, draft.answers)) and first.answers:
            torn.add(key)
    return [draft for key, draft in found.items() if key not in torn]


def dealt(items: Iterable[_T], rng: random.Random, *keys: Callable[[_T], str]) -> list[_T]:
    """An order in which any first part is spread evenly: one of each group, then the next of each.

    Args:
        items: in any order.
        rng: shuffles groups, and items within them.
        keys: what tells groups apart, then groups within groups: a document, then a kind.
    """
    if not keys:
        shuffled = list(items)
        rng.shuffle(shuffled)
        return shuffled
    groups: dict[str, list[_T]] = defaultdict(list)
    for item in items:
        groups[keys[0](item)].append(item)
    hands = [dealt(groups[key], rng, *keys[1:]) for key in sorted(groups)]
    rng.shuffle(hands)
    return [
        hand[turn]
        for turn in range(max(map(len, hands), default=0))
        for hand in hands
        if turn < len(hand)
    ]
