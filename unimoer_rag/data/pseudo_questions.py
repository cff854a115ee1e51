"""Questions made of documents alone: a sentence asks for the passage it was taken out of.

The inverse cloze task (Lee et al. 2019, arXiv 1906.00300). The passage is learnt from without the
sentence, so that its meaning is what finds it and not its words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace

from unimoer_rag.data.datasets import BeirDataset, Question
from unimoer_rag.errors import DataError
from unimoer_rag.retrieval import Document

__all__ = ["pseudo_questions", "with_pseudo_questions"]

# A sentence of fewer words says too little, one of more is no question.
_WORDS = range(6, 41)
# Sentences that a passage keeps at least.
_LEFT = 2

_END = re.compile(r"(?<=[.!?])\s+")


def pseudo_questions(
    name: str, corpus: Mapping[str, Document], *, seed: int = 0, most: int = 2000
) -> BeirDataset:
    """A data set to train on where nobody has asked anything yet.

    Args:
        name: of the data set.
        corpus: id -> passage.
        seed: of the passages and sentences drawn.
        most: passages that are asked for at most, one sentence each.

    Raises:
        DataError: no passage has a sentence to spare.

    >>> found = pseudo_questions("shop", {"1": Document(
    ...     "Tents go back within thirty days. Boots go back within a week. The shop is closed "
    ...     "on Mondays.", "1")})
    >>> found.questions[0].text, found.corpus["1"].text  # doctest: +NORMALIZE_WHITESPACE
    ('Boots go back within a week.',
     'Tents go back within thirty days. The shop is closed on Mondays.')
    """
    drawn = _drawn(corpus, seed, most)
    if not drawn:
        raise DataError(
            f"none of {len(corpus)} passages has {_LEFT + 1} sentences, one of them of "
            f"{_WORDS.start} to {_WORDS.stop - 1} words, to make a question of: give questions"
        )
    left = {**corpus, **{key: rest for key, (_, rest) in drawn.items()}}
    questions = [Question(f"pseudo-{key}", said) for key, (said, _) in drawn.items()]
    qrels = {f"pseudo-{key}": {key: 1} for key in drawn}
    return BeirDataset(name, "pseudo", left, questions, qrels)


def with_pseudo_questions(dataset: BeirDataset, share: float, *, seed: int = 0) -> BeirDataset:
    """A data set whose questions have pseudo-questions of all its passages beside them.

    They are of passages that nobody asked for, too. What was judged keeps its text: a passage that
    a pseudo-question was taken out of is in the corpus twice, whole and without it.

    Args:
        dataset: questions and passages to train on.
        share: pseudo-questions for each question; fewer, or none, where the passages have no
            sentences to spare.
        seed: of the passages and sentences drawn.
    """
    drawn = _drawn(dataset.corpus, seed, round(share * len(dataset.questions)))
    made = {f"pseudo-{key}": found for key, found in drawn.items()}
    return replace(
        dataset,
        corpus={**dataset.corpus, **{key: rest for key, (_, rest) in made.items()}},
        questions=[*dataset.questions, *(Question(key, said) for key, (said, _) in made.items())],
        qrels={**dataset.qrels, **{key: {key: dataset.relevance_level} for key in made}},
    )


def _drawn(corpus: Mapping[str, Document], seed: int, most: int) -> dict[str, tuple[str, Document]]:
    """Of passages in a drawn order, by id: a sentence, and the passage without it."""
    draw = random.Random(f"pseudo-{seed}")
    found: dict[str, tuple[str, Document]] = {}
    for key in draw.sample(sorted(corpus), len(corpus)):
        if len(found) >= most:
            break
        sentences = _END.split(corpus[key].text.strip())
        fitting = [at for at, said in enumerate(sentences) if len(said.split()) in _WORDS]
        if len(sentences) <= _LEFT or not fitting:
            continue
        taken = draw.choice(fitting)
        rest = " ".join(said for at, said in enumerate(sentences) if at != taken)
        found[key] = sentences[taken], replace(corpus[key], text=rest)
    return found
