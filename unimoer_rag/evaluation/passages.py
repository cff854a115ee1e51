"""Whether the answer stands in the passages found.

As in the evaluation of DPR (Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question
Answering", 2020) a passage counts when the words of an accepted answer follow each other in its
text; titles do not count. Words are compared after the normalisation of the data set's own rules.
Some of these take punctuation out and leave no space, so that the cells of "Oslo,Bergen" would be
one word: there a text is also looked at with a space behind what parts cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from unimoer_rag.data import (
    DEFAULT_RULES,
    AnswerRules,
    BeirDataset,
    Question,
    normalize_answer,
    ranked,
)

__all__ = ["CUTOFFS", "answer_in_passage", "holds_answer", "judged_relevant", "relevant_among"]

CUTOFFS = (1, 5, 20, 100)
"""How many of the first passages are looked at."""

# What parts cells, with no space behind it; not the comma of thousands in 12,000.
_GLUED = re.compile(r"[;|](?=\S)|(?<!\d),(?=\S)|,(?!\d{3}(?!\d))(?=\S)")


def holds_answer(text: str, answer: str, *, rules: AnswerRules = DEFAULT_RULES) -> bool:
    """Whether the words of an answer follow each other in a text, both normalised.

    Example:
        >>> holds_answer("They own the red tent.", "A red tent"), holds_answer("retented", "tent")
        (True, False)
    """
    return _within(normalize_answer(answer, rules=rules), _words(text, rules))


def answer_in_passage(
    dataset: BeirDataset, questions: Iterable[Question], run: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Whether any of the first k passages holds an accepted answer, for every k of `CUTOFFS`.

    Args:
        dataset: whose corpus holds the passages.
        questions: those that have an answer count; one without results as 0.
        run: scores of passages that the corpus holds.

    Returns:
        Question id -> `answer-in-passage@k` -> 1.0 or 0.0.
    """

    rules = dataset.answer_rules

    @lru_cache(maxsize=2**16)  # many questions find the same passages
    def words(doc_id: str) -> str:
        return _words(dataset.corpus[doc_id].text, rules)

    rows: dict[str, dict[str, float]] = {}
    for question in questions:
        answers = _normalized(question, rules)
        if not answers:
            continue
        found = ranked(run.get(question.id, {}))[: max(CUTOFFS)]
        first = next(
            (
                rank
                for rank, doc_id in enumerate(found, start=1)
                if any(_within(answer, words(doc_id)) for answer in answers)
            ),
            max(CUTOFFS) + 1,
        )
        rows[question.id] = {f"answer-in-passage@{k}": float(first <= k) for k in CUTOFFS}
    return rows


def judged_relevant(dataset: BeirDataset, qid: str) -> set[str]:
    """Passages of the corpus that are judged relevant to a question; none where nobody judged."""
    return {
        doc_id
        for doc_id, grade in dataset.qrels.get(qid, {}).items()
        if grade >= dataset.relevance_level and doc_id in dataset.corpus
    }


def relevant_among(dataset: BeirDataset, question: Question, passages: Iterable[str]) -> set[str]:
    """Which of some passages are relevant to a question.

    Args:
        dataset: its judgements tell; of a question that nobody judged, a passage is relevant that
            holds an accepted answer.
        question: one of its questions.
        passages: ids of documents in the corpus.
    """
    if question.id in dataset.qrels:
        return judged_relevant(dataset, question.id) & set(passages)
    rules = dataset.answer_rules
    answers = _normalized(question, rules)

    def holds_one(doc_id: str) -> bool:
        text = _words(dataset.corpus[doc_id].text, rules)
        return any(_within(answer, text) for answer in answers)

    return {doc_id for doc_id in passages if holds_one(doc_id)}


def _normalized(question: Question, rules: AnswerRules) -> list[str]:
    """The accepted answers that hold words; one that normalises to nothing stands nowhere."""
    golds = question.answers or ()
    return [text for gold in golds if (text := normalize_answer(gold, rules=rules))]


def _words(text: str, rules: AnswerRules) -> str:
    """A text's words, and once more in a line of its own where cells would be one word."""
    words, apart = (normalize_answer(t, rules=rules) for t in (text, _GLUED.sub(r"\g<0> ", text)))
    return words if words == apart else f"{words} \n {apart}"


def _within(answer: str, text: str) -> bool:
    # Spaces on both sides: whole words only. No answer at all stands nowhere.
    return bool(answer) and f" {answer} " in f" {text} "
