"""Reading examples: questions, passages and where the answers stand in them."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.data.unanswerable import break_question, cut_answer, sentences
from unimoer_rag.errors import DataError

__all__ = ["ReadExample", "ReadSource", "find_spans", "on_words"]

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ReadExample:
    """A question, a passage, and where the answer stands in it (nowhere: no answer)."""

    question: str
    passage: str
    spans: tuple[Span, ...]


def find_spans(answers: Sequence[str], text: str) -> tuple[Span, ...]:
    """Every place where an answer stands in a text, on word boundaries where it has them."""
    spans: set[Span] = set()
    for answer in answers:
        if not answer:
            continue
        words = re.escape(answer)
        exact = [m.span() for m in re.finditer(on_words(answer, words), text)]
        spans.update(exact or [m.span() for m in re.finditer(words, text)])
    return tuple(sorted(spans))


def on_words(answer: str, pattern: str) -> str:
    """A pattern of an answer that ends at word boundaries, where the answer ends with words."""
    left = r"(?<!\w)" if answer[0].isalnum() else ""
    right = r"(?!\w)" if answer[-1].isalnum() else ""
    return left + pattern + right


class ReadSource:
    """Reading examples drawn from a data set whose questions have answers.

    Each draw is a function of its index and generator alone, so that a resumed run draws the same.

    Args:
        dataset: with `answers` and `context`.
        unanswerable: share of draws made unanswerable.
        crop: share of passages cropped to a few sentences around the answer (or anywhere).
        crop_words: at most this many words are left by a crop.
        mined: share of the unanswerable draws that ask a hard passage, where the question has one.
        hard: question -> passages that look like answering it and do not.
    """

    def __init__(
        self,
        dataset: BeirDataset,
        *,
        unanswerable: float,
        crop: float,
        crop_words: int,
        mined: float = 0.0,
        hard: Mapping[str, Sequence[str]] = {},
    ) -> None:
        self._dataset, self._mined, self._hard = dataset, mined, hard
        self._unanswerable, self._crop, self._crop_words = unanswerable, crop, crop_words
        self._questions = [
            q
            for q in dataset.questions
            if q.answers
            and q.context in dataset.corpus
            # Else its passage would be learnt as one that does not answer it.
            and any(a and a in dataset.corpus[q.context or ""].text for a in q.answers)
        ]
        if not self._questions:
            raise DataError(
                f"{dataset.name}: no question has answers and a context in which one stands; "
                "expected them word for word, in the same case"
            )
        self._article: dict[str, list[str]] = defaultdict(list)
        for document in dataset.corpus.values():
            self._article[document.title].append(document.text)

    def __len__(self) -> int:
        return len(self._questions)

    def draw(self, index: int, rng: random.Random) -> ReadExample:
        """The example of one question, or one made unanswerable from it."""
        question = self._questions[index]
        document = self._dataset.corpus[question.context or ""]
        spans = find_spans(question.answers or (), document.text)
        if rng.random() < self._unanswerable:
            broken = self._break(question.text, document.title, document.text, spans, rng)
            if broken is not None:
                return self._cropped(broken, rng)
        return self._cropped(ReadExample(question.text, document.text, spans), rng)

    def _break(
        self, question: str, title: str, text: str, spans: Sequence[Span], rng: random.Random
    ) -> ReadExample | None:
        hard = self._hard.get(question, ())
        # Nothing is drawn where nothing is mined: the draws of older recipes stay as they were.
        if self._mined and hard and rng.random() < self._mined:
            return ReadExample(question, rng.choice(hard), ())
        article = self._article[title]
        way = rng.random()
        if way < 0.25 and len(article) > 1:
            other = rng.choice(article)
            if other != text and not any(text[s:e] in other for s, e in spans):
                return ReadExample(question, other, ())
        if way < 0.45:
            rest = cut_answer(text, spans)
            if rest is not None and not any(text[s:e] in rest for s, e in spans):
                return ReadExample(question, rest, ())
        broken = break_question(question, [text, *rng.sample(article, min(3, len(article)))], rng)
        return None if broken is None else ReadExample(broken, text, ())

    def _cropped(self, example: ReadExample, rng: random.Random) -> ReadExample:
        """A run of whole sentences that keeps one answer span, where cropping is drawn."""
        if rng.random() >= self._crop:
            return example
        pieces = sentences(example.passage)
        target = rng.choice(example.spans) if example.spans else None
        if target is None:
            first = last = rng.randrange(len(pieces))
        else:
            first = next(i for i, (_, end) in enumerate(pieces) if end > target[0])
            last = next(i for i, (_, end) in enumerate(pieces) if end >= target[1])
        while True:
            grown = [
                (a, b)
                for a, b in ((first - 1, last), (first, last + 1))
                if a >= 0
                and b < len(pieces)
                and example.passage[pieces[a][0] : pieces[b][1]].count(" ") < self._crop_words
            ]
            if not grown:
                break
            first, last = rng.choice(grown)
        start, end = pieces[first][0], pieces[last][1]
        spans = tuple((s - start, e - start) for s, e in example.spans if s >= start and e <= end)
        return ReadExample(example.question, example.passage[start:end], spans)
