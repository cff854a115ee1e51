"""Held-out examples: which ones, and how well a new task does on them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from unimoer_rag.data import BeirDataset, Labelled, TrainingSet
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import exact_match, f1
from unimoer_rag.model import UniMoER

__all__ = [
    "Subset",
    "agreement",
    "majority_label",
    "measure_classes",
    "measure_ranks",
    "measure_spans",
    "split",
]

_TIE = 1e-5

T = TypeVar("T")


class Subset(Sequence[T]):
    """Some items of a sequence, by position; nothing is copied."""

    def __init__(self, items: Sequence[T], places: Sequence[int]) -> None:
        self._items, self._places = items, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return Subset(self._items, self._places[position])
        return self._items[self._places[position]]


def split(keys: Sequence[str], share: float, *, seed: int) -> tuple[list[int], list[int]]:
    """Positions to learn from, and to be measured on; the order of neither is changed.

    Items of one key (the pairs that share a text) stay together, so that nothing that was learnt
    is asked again. Which keys are held out depends on the key and the seed alone.

    Args:
        keys: one an item.
        share: of the distinct keys to hold out, at least one and at most all but one.
        seed: of the choice.

    Raises:
        DataError: there are fewer than two distinct keys.
    """
    distinct = sorted(
        set(keys), key=lambda k: hashlib.sha256(f"{seed}-{k}".encode(errors="replace")).digest()
    )
    if len(distinct) < 2:
        raise DataError(
            f"{len(keys)} examples of {len(distinct)} different texts: expected at least two, one "
            "to learn from and one to be measured on"
        )
    n = min(max(round(share * len(distinct)), 1), len(distinct) - 1)
    held = set(distinct[:n])
    kept = [at for at, key in enumerate(keys) if key not in held]
    return kept, [at for at, key in enumerate(keys) if key in held]


def agreement(gold: Sequence[str], found: Sequence[str]) -> dict[str, float]:
    """Accuracy and macro-averaged F1 in percent, over the labels that occur in either."""
    scores = []
    for label in sorted({*gold, *found}):
        right = sum(g == f == label for g, f in zip(gold, found, strict=True))
        scores.append(2 * right / (gold.count(label) + found.count(label)))
    same = sum(g == f for g, f in zip(gold, found, strict=True))
    return {
        "accuracy": 100 * same / len(gold),
        "macro_f1": 100 * sum(scores) / len(scores),
    }


def measure_classes(model: UniMoER, task: str, examples: Sequence[Labelled]) -> dict[str, float]:
    """Accuracy and macro-F1 in percent of a classifying task."""
    labels = model.task(task).labels
    gold, found = [], []
    for paired in (False, True):  # texts and pairs of texts are asked in different ways
        chosen = [example for example in examples if (example.pair is not None) == paired]
        if chosen:
            pairs = [example.pair or "" for example in chosen] if paired else None
            logits = model.classify([e.text for e in chosen], pairs=pairs, task=task, logits=True)
            gold += [example.label for example in chosen]
            found += [labels[at] for at in logits.argmax(1)]
    return agreement(gold, found)


def majority_label(examples: Sequence[Labelled]) -> str:
    """The most frequent label; of equally frequent ones, the first in the alphabet."""
    counts = Counter(example.label for example in examples)
    return max(sorted(counts), key=lambda label: counts[label])


def measure_spans(model: UniMoER, task: str, dataset: BeirDataset) -> dict[str, float]:
    """Exact match and F1 in percent of a reading task on each question's own passage."""
    exact, overlap = [], []
    for question in dataset.questions:
        passage = dataset.corpus[question.context or ""].text
        reading = model.read(question.text, [passage], task=task)[0]
        answers = question.answers or ()
        exact.append(exact_match(reading.text, answers, rules="squad"))
        overlap.append(f1(reading.text, answers, rules="squad"))
    return {"exact_match": 100 * float(np.mean(exact)), "f1": 100 * float(np.mean(overlap))}


def measure_ranks(model: UniMoER, task: str, groups: TrainingSet) -> dict[str, float]:
    """Mean reciprocal rank in percent of each group's positive among its negatives.

    Ties count against the positive, so that a scorer that finds all alike gains nothing. Logits are
    tied within `_TIE`: where in a batch a text stands may move the last bits of its logit.
    """
    ranks = []
    for group in groups.groups:
        texts = [groups.texts[at] for at in (group.positive, *group.negatives)]
        scores = torch.from_numpy(model.score(group.query, texts, task=task, logits=True))
        ranks.append(1 / int((scores >= scores[0] - _TIE).sum()))
    return {"mrr": 100 * float(np.mean(ranks))}
