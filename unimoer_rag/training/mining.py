"""Hard negatives: passages that the frozen backbone ranks high and that do not answer."""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.datasets import BeirDataset
from unimoer_rag.files import write_file
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.data import Pair, pairs_of
from unimoer_rag.training.recipe import Mining

__all__ = ["Mined", "MinedQuestion", "mine"]

_BLOCK = 512  # texts embedded, or queries compared, at a time


@dataclass(frozen=True, slots=True)
class MinedQuestion:
    """A question with its passages, as positions in `Mined.texts`.

    Attributes:
        query: the question.
        positive: the passage that answers.
        relevant: all passages that answer a question of the same words.
        negatives: high-ranked passages that do not.
    """

    query: str
    positive: int
    relevant: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mined:
    """One source's searched passages and mined questions."""

    texts: list[str]
    questions: list[MinedQuestion]


def mine(
    model: UniMoER,
    dataset: BeirDataset,
    config: Mining,
    *,
    seed: int,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Mined:
    """Mine a source with the model's embeddings, or take the result from the cache.

    A negative must not answer a question of the same words, and its cosine must stay under
    `ceiling` times the positive's: what lies above is often an unlabelled positive.

    Args:
        model: its EMBED task does the searching; frozen backbones have silent experts.
        dataset: the source.
        config: how much of it, how deep.
        seed: which passages and questions, where there are more than asked for.
        cache: folder of earlier results, by content.
        progress: called with passages done and their number.

    Raises:
        DataError: no question has a negative.
    """
    names, texts, pairs = _choose(dataset, config, seed)
    key = hashlib.sha256(
        "\x1f".join(
            [model.checkpoint_digest, repr(config), *texts, *(p.query for p in pairs)]
        ).encode()
    ).hexdigest()[:16]
    kept = cache / f"{dataset.name}-{key}.json"
    questions = _read(kept)
    if questions is None:
        vectors = _embed(model, texts, progress)
        questions = _search(model, dataset, config, names, vectors, pairs)
        cache.mkdir(parents=True, exist_ok=True)
        write_file(kept, json.dumps([asdict(q) for q in questions]))
    if not questions:
        raise DataError(
            f"{dataset.name}: none of {len(pairs)} questions has a hard negative among "
            f"{len(texts)} passages: raise mining.depth or mining.ceiling, or leave the source out"
        )
    return Mined(texts, questions)


def _choose(
    dataset: BeirDataset, config: Mining, seed: int
) -> tuple[list[str], list[str], list[Pair]]:
    """The passages to search, by id and by text, and the questions about them."""
    pairs = pairs_of(dataset)
    random.Random(f"{seed}-{dataset.name}").shuffle(pairs)
    documents: dict[str, str] = {}
    for pair in pairs:
        if len(documents) >= config.passages:
            break
        documents.setdefault(pair.document, pair.positive)
    pairs = [pair for pair in pairs if pair.document in documents][: config.questions]
    return list(documents), list(documents.values()), pairs


def _read(kept: Path) -> list[MinedQuestion] | None:
    """An earlier result; None where there is none, or a damaged one."""
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
        return [
            MinedQuestion(q["query"], q["positive"], tuple(q["relevant"]), tuple(q["negatives"]))
            for q in found
        ]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _embed(
    model: UniMoER, texts: Sequence[str], progress: Callable[[int, int], None]
) -> NDArray[np.float32]:
    blocks = []
    for at in range(0, len(texts), _BLOCK):
        progress(at, len(texts))
        blocks.append(model.embed(texts[at : at + _BLOCK], "document"))
    progress(len(texts), len(texts))
    return np.concatenate(blocks) if blocks else np.zeros((0, model.dimension), np.float32)


def _search(
    model: UniMoER,
    dataset: BeirDataset,
    config: Mining,
    names: Sequence[str],
    vectors: NDArray[np.float32],
    pairs: Sequence[Pair],
) -> list[MinedQuestion]:
    """What the model ranks high for each question, its answers left out."""
    place = {name: at for at, name in enumerate(names)}
    relevant: dict[str, set[int]] = defaultdict(set)
    for question in dataset.questions:
        for document, grade in dataset.qrels.get(question.id, {}).items():
            if grade > 0 and document in place:
                relevant[question.text.lower()].add(place[document])
    questions = []
    for at in range(0, len(pairs), _BLOCK):
        block = pairs[at : at + _BLOCK]
        cosines = model.embed([pair.query for pair in block], "query") @ vectors.T
        for pair, row in zip(block, cosines, strict=True):
            positive = place[pair.document]
            answers = relevant[pair.query.lower()] | {positive}
            order = np.argsort(-row)[: config.depth + len(answers)]
            limit = config.ceiling * row[positive]
            negatives = [int(d) for d in order if int(d) not in answers and row[d] < limit]
            if negatives:
                questions.append(
                    MinedQuestion(
                        pair.query,
                        positive,
                        tuple(sorted(answers)),
                        tuple(negatives[: config.depth]),
                    )
                )
    return questions
