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

__all__ = ["pseudo_questions"]

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
    draw = random.Random(f"pseudo-{seed}")
    left = dict(corpus)
    questions: list[Question] = []
    for key in draw.sample(sorted(corpus), len(corpus)):
        if len(questions) >= most:
            break
        sentences = _END.split(corpus[key].text.strip())
        fitting = [at for at, said in enumerate(sentences) if len(said.split()) in _WORDS]
        if len(sentences) <= _LEFT or not fitting:
            continue
        taken = draw.choice(fitting)
        rest = " ".join(said for at, said in enumerate(sentences) if at != taken)
        left[key] = replace(corpus[key], text=rest)
        questions.append(Question(f"pseudo-{key}", sentences[taken]))
    if not questions:
        raise DataError(
            f"none of {len(corpus)} passages has {_LEFT + 1} sentences, one of them of "
            f"{_WORDS.start} to {_WORDS.stop - 1} words, to make a question of: give questions"
        )
    qrels = {q.id: {q.id.removeprefix("pseudo-"): 1} for q in questions}
    return BeirDataset(name, "pseudo", left, questions, qrels)
