"""Whether the answer stands in the passages found.

As in the evaluation of DPR (Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question
Answering", 2020) a passage counts when the words of an accepted answer follow each other in its
text; titles do not count. Words are compared after SQuAD's normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from unimoer_rag.evaluation.answers import normalize_answer
from unimoer_rag.evaluation.datasets import BeirDataset
from unimoer_rag.evaluation.ranking import ranked

__all__ = ["CUTOFFS", "answer_in_passage", "holds_answer"]

CUTOFFS = (1, 5, 20, 100)
"""How many of the first passages are looked at."""


def holds_answer(text: str, answer: str) -> bool:
    """Whether the words of an answer follow each other in a text, both normalised.

    Example:
        >>> holds_answer("They own the red tent.", "A red tent"), holds_answer("retented", "tent")
        (True, False)
    """
    return _within(normalize_answer(answer), normalize_answer(text))


def answer_in_passage(
    dataset: BeirDataset, run: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Whether any of the first k passages holds an accepted answer, for every k of `CUTOFFS`.

    Args:
        dataset: its judged questions that have an answer count; one without results as 0.
        run: scores of passages that the corpus holds.

    Returns:
        Question id -> `answer-in-passage@k` -> 1.0 or 0.0.
    """

    @cache  # many questions find the same passages
    def words(doc_id: str) -> str:
        return normalize_answer(dataset.corpus[doc_id].text)

    rows: dict[str, dict[str, float]] = {}
    for qid, golds in dataset.golds.items():
        answers = [answer for gold in golds if (answer := normalize_answer(gold))]
        if not answers or qid not in dataset.qrels:
            continue
        found = ranked(run.get(qid, {}))[: max(CUTOFFS)]
        first = next(
            (
                rank
                for rank, doc_id in enumerate(found, start=1)
                if any(_within(answer, words(doc_id)) for answer in answers)
            ),
            max(CUTOFFS) + 1,
        )
        rows[qid] = {f"answer-in-passage@{k}": float(first <= k) for k in CUTOFFS}
    return rows


def _within(answer: str, text: str) -> bool:
    # Spaces on both sides: whole words only. No answer at all stands nowhere.
    return bool(answer) and f" {answer} " in f" {text} "
