"""Questions of a data set with passages that only look like answers, to find a model's heads by."""

from __future__ import annotations

import tempfile
from pathlib import Path

from unimoer_rag.data import BeirDataset, Group, TrainingSet, beir_set
from unimoer_rag.errors import InputError
from unimoer_rag.progress import Progress, silent
from unimoer_rag.ranking import Contrast
from unimoer_rag.training.mining.mining_settings import Mining
from unimoer_rag.training.mining.negatives import mine
from unimoer_rag.training.mining.searchers import BM25Searcher

__all__ = ["contrasts_of"]

# Passages searched for negatives: those that answer, and others drawn at random.
_PASSAGES = 20_000
# Results looked at for one negative: many of them hold an answer, though nobody judged them.
_DEEPER = 4


def contrasts_of(
    dataset: BeirDataset,
    *,
    questions: int,
    negatives: int,
    seed: int = 0,
    on_progress: Progress = silent,
) -> list[Contrast]:
    """Some questions, each with its best judged passage and the best that BM25 finds beside it.

    Passages that are judged to answer, or hold an accepted answer, are no negatives.

    Args:
        dataset: questions with judgements.
        questions: at most; drawn at random where there are more.
        negatives: of each, at most.
        seed: of the drawing.
        on_progress: told of the passages that are searched.

    Raises:
        DataError: no question has a relevant passage, or none has a negative.
        InputError: a number is below 1.

    >>> dataset = load_beir("../shared/data/nq", "dev")                   # doctest: +SKIP
    >>> contrasts = contrasts_of(dataset, questions=200, negatives=19)    # doctest: +SKIP
    """
    if questions < 1 or negatives < 1:
        raise InputError(f"{questions} questions with {negatives} negatives: expected 1 or more")
    settings = Mining(
        passages=_PASSAGES,
        questions=questions,
        depth=_DEEPER * negatives,
        ceiling=None,
        exclude_answers=True,
    )
    with tempfile.TemporaryDirectory() as cache:
        mined = mine(
            beir_set(dataset),
            BM25Searcher(),
            settings,
            seed=seed,
            cache=Path(cache),
            progress=lambda done, total: on_progress("passages", done, total),
        )
    return [_contrast(mined, group, negatives) for group in mined.groups]


def _contrast(mined: TrainingSet, group: Group, negatives: int) -> Contrast:
    return Contrast(
        group.query,
        mined.texts[group.positive],
        tuple(mined.texts[place] for place in group.negatives[:negatives]),
    )
