"""Hard negatives: passages that a searcher ranks high and that do not answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from unimoer_rag.data import ByPlace, Group, TrainingSet
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import holds_answer
from unimoer_rag.files import write_file
from unimoer_rag.training.draws import shuffled
from unimoer_rag.training.mining.mining_settings import Mining
from unimoer_rag.training.mining.searchers import OnDone, Searcher, TopPassages

__all__ = ["hard_negatives", "kept_groups", "mine"]

_LAYOUT = "2"  # part of every key: results of older rules are mined again


def mine(
    source: TrainingSet,
    searcher: Searcher,
    config: Mining,
    *,
    seed: int = 0,
    cache: Path,
    progress: OnDone = lambda done, total: None,
) -> TrainingSet:
    """Give groups the passages that a searcher takes for answers and that are none.

    Negatives that a group has stay, before those found; groups with a teacher's scores stay as
    they are.

    Args:
        source: queries with their positives.
        searcher: ranks the passages.
        config: how much of the source, how deep, and which results are dropped.
        seed: which passages and questions, where there are more than asked for.
        cache: folder of earlier results, by content: texts, questions, settings and searcher.
        progress: called with passages done and their number.

    Returns:
        The chosen groups that have negatives, or all with `keep_unmined`, over the passages that
        were searched.

    Raises:
        DataError: no group has a negative, and those without are not kept.
    """
    pool = _Pool(source)
    groups = _choose(source, pool, config, seed)
    key = _key(searcher.identity, config, pool, groups)

    def search() -> list[Group]:
        found = searcher.search(
            [group.query for group in groups],
            pool,
            positives=[group.positive for group in groups],
            k=config.depth + config.skip + max(len(group.relevant) for group in groups),
            progress=progress,
        )
        return [_with(group, found, at, pool, config) for at, group in enumerate(groups)]

    kept = kept_groups(cache / f"{source.name}-{key}.json", search)
    mined = [group for group in kept if group.negatives or config.keep_unmined]
    if not mined:
        raise DataError(
            f"{source.name}: none of {len(groups)} questions has a hard negative among "
            f"{len(pool)} passages: raise mining.depth or mining.ceiling, or leave the source out"
        )
    return TrainingSet(source.name, pool, mined)


def hard_negatives(
    ranked: Sequence[int],
    scores: Sequence[float],
    *,
    positive: float,
    relevant: frozenset[int],
    config: Mining,
) -> list[int]:
    """The results that count as negatives, best first.

    The positive and other relevant passages go first, then `skip` results, then all that score
    too near the positive: passages at or above `positive - (1 - ceiling) * |positive|`, which is
    `ceiling * positive` for a positive score, or at or above `positive + margin`.

    Args:
        ranked: passages, best first; -1 for none.
        scores: theirs.
        positive: score of the positive.
        relevant: passages that answer.
        config: the filters.

    >>> config = Mining(depth=2, ceiling=0.9)
    >>> hard_negatives([4, 7, 1, 3], [.9, .8, .6, .5], positive=.8, relevant=frozenset({7}),
    ...                config=config)
    [1, 3]
    """
    limits = [float("inf")]
    if config.ceiling is not None:
        found = positive > -float("inf")  # a share of infinity is no limit
        limits.append(positive - (1 - config.ceiling) * abs(positive) if found else positive)
    if config.margin is not None:
        limits.append(positive + config.margin)
    others = [(p, s) for p, s in zip(ranked, scores, strict=True) if p >= 0 and p not in relevant]
    looked_at = others[config.skip : config.skip + config.depth]
    return [passage for passage, score in looked_at if score < min(limits)]


def kept_groups(path: Path, make: Callable[[], list[Group]]) -> list[Group]:
    """Groups from an earlier run's file, or made now and written whole.

    Args:
        path: the file; a damaged one is made again.
        make: makes the groups.
    """
    found = _read(path)
    if found is None:
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps([asdict(group) for group in found]))
    return found


class _Pool(ByPlace[str]):
    """Some of a source's texts, each once, by new positions."""

    def __init__(self, source: TrainingSet) -> None:
        self._texts = source.texts
        self._places: list[int] = []
        self._known: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def at(self, place: int) -> str:
        """A text, by its new position."""
        return self._texts[self._places[place]]

    def find(self, place: int) -> int | None:
        """The new position of a text of the source; None where it is not in the pool."""
        return self._known.get(_digest(self._texts[place]))

    def add(self, place: int) -> int:
        """The new position of a text of the source, which comes into the pool."""
        at = self._known.setdefault(_digest(self._texts[place]), len(self._places))
        if at == len(self._places):
            self._places.append(place)
        return at


def _choose(source: TrainingSet, pool: _Pool, config: Mining, seed: int) -> list[Group]:
    """Some groups, with positions in the pool, which gets their passages and then others."""
    n, walk = len(source.groups), f"{seed}-{source.name}"
    chosen: list[Group] = []
    for at in range(n):
        if len(chosen) >= config.questions:
            break
        group = source.groups[shuffled(at, n, walk)]
        if len(pool) < config.passages or pool.find(group.positive) is not None:
            pool.add(group.positive)
            chosen.append(group)
    for group in chosen:
        for negative in group.negatives:
            pool.add(negative)
    others = 0 if config.answers_only else len(source.texts)
    for at in range(others):
        if len(pool) >= config.passages:
            break
        pool.add(shuffled(at, others, walk))
    return [_moved(group, pool) for group in chosen]


def _moved(group: Group, pool: _Pool) -> Group:
    """The group with positions in the pool; passages that are not in it are left out."""
    found = {pool.find(place) for place in group.relevant} | {pool.find(group.positive)}
    return replace(
        group,
        positive=pool.add(group.positive),
        relevant=tuple(sorted(at for at in found if at is not None)),
        negatives=tuple(pool.add(place) for place in group.negatives),
    )


def _with(group: Group, found: TopPassages, at: int, pool: _Pool, config: Mining) -> Group:
    """The group with what was found for it."""
    if group.scores:
        return group
    n = config.depth + config.skip + len(group.relevant)
    mined = hard_negatives(
        found.passages[at][:n].tolist(),
        found.scores[at][:n].tolist(),
        positive=float(found.positives[at]),
        relevant=frozenset(group.relevant),
        config=config,
    )
    if config.exclude_answers:
        mined = [
            p
            for p in mined
            if not any(holds_answer(pool[p], a, rules="squad") for a in group.answers)
        ]
    return replace(group, negatives=tuple(dict.fromkeys([*group.negatives, *mined])))


def _key(identity: str, config: Mining, texts: Iterable[str], groups: Iterable[Group]) -> str:
    settings = config.model_dump(exclude={"teacher"})
    digest = hashlib.sha256(json.dumps([_LAYOUT, identity, settings]).encode())
    for text in texts:
        digest.update(_digest(text))
    for group in groups:
        digest.update(json.dumps(asdict(group)).encode())
    return digest.hexdigest()[:16]


def _read(path: Path) -> list[Group] | None:
    """An earlier result; None where there is none, or a damaged one."""
    try:
        return [_group(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _group(row: Mapping[str, Any]) -> Group:
    lists = ("relevant", "negatives", "scores", "answers")
    return Group(row["query"], row["positive"], **{name: tuple(row[name]) for name in lists})


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
