"""The writer that `bench kill` kills: steps of a plan, each told before it begins and when it ends.

python -m unimoer_rag.lab.bench.kill_side '{"folder": ..., "seed": 0, "first": 0, "last": 40}'

No model is loaded: vectors are drawn from the texts, so that two runs of a plan write the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.retrieval import (
    AddReport,
    BM25Encoder,
    Document,
    EdgeStore,
    Embedded,
    Passage,
    Store,
)
from unimoer_rag.retrieval.ingest import ingest

__all__ = ["DIMENSION", "QUERIES", "Step", "answers", "document", "passages", "steps", "vectors"]

DIMENSION = 16

QUERIES = 20
"""Searches of an index that is looked at."""

Kind = Literal["add", "update", "delete", "identity", "optimize"]
Versions = Mapping[str, int]

_PASSAGES = 6  # of a document
_MOST = 60  # documents
_REOPEN = 3  # steps between two closings


@dataclass(frozen=True, slots=True)
class Step:
    """One change of an index.

    Attributes:
        number: its place in the plan.
        kind: what is done.
        sources: to which documents.
        before: the version of each document that was there before it.
        after: the same when it is done.
    """

    number: int
    kind: Kind
    sources: tuple[str, ...]
    before: Versions
    after: Versions


def steps(seed: int) -> Iterator[Step]:
    """A plan without an end; the same for the same seed."""
    random, made, now = Random(seed), count(), dict[str, int]()
    for number in count():
        kinds: list[Kind] = ["add", "update", "update", "delete", "identity", "optimize"]
        weights = [4 if len(now) < _MOST else 0, 3, 3, 3 if len(now) > 10 else 0, 1, 1]
        kind = random.choices(kinds, weights)[0] if now else "add"
        after = dict(now)
        chosen: list[str] = []
        if kind == "add":
            chosen = [f"doc{next(made)}.md" for _ in range(random.randint(1, 8))]
            after |= dict.fromkeys(chosen, 1)
        elif kind in ("update", "delete"):
            chosen = random.sample(sorted(now), min(len(now), random.randint(1, 5)))
            for source in chosen:
                if kind == "delete":
                    del after[source]
                else:
                    after[source] += 1
        yield Step(number, kind, tuple(chosen), now, after)
        now = after


def document(source: str, version: int) -> Document:
    """A document in one of its versions: half of its passages stay, the others change."""
    lines = [
        f"{source} part {part} "
        + ("stays as it is" if part % 2 else f"changed in version{version} of it")
        for part in range(_PASSAGES)
    ]
    return Document("\n".join(lines), source, metadata={"version": version})


def passages(found: Document) -> list[Passage]:
    """A document's lines."""
    cut, start = [], 0
    for line in found.text.split("\n"):
        end = start + len(line)
        cut.append(Passage(line, found.source, found.title, start, end, found.metadata))
        start = end + 1
    return cut


def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """A vector for each text, drawn from the text."""
    seeds = [int.from_bytes(hashlib.blake2b(text.encode()).digest()[:8]) for text in texts]
    rows = [np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds]
    return np.array(rows, dtype=np.float32).reshape(-1, DIMENSION)


def answers(store: Store) -> tuple[Any, ...]:
    """What an index holds and finds, for comparing two."""
    stored = list(store.scroll())
    some = stored[:: max(1, len(stored) // QUERIES)]
    dense = store.search_dense(vectors([p.text for p in some]), limit=50)
    sparse = store.search_sparse([BM25Encoder().query(p.text) for p in some], limit=50)
    found = [[(hit.passage, round(hit.score, 5)) for hit in hits] for hits in (*dense, *sparse)]
    return stored, found, store.sources(), store.identity()


def _embed(texts: Sequence[str]) -> Callable[[], Embedded]:
    return lambda: Embedded(vectors(texts))


def _run(step: Step, store: Store) -> None:
    if step.kind == "identity":
        store.set_identity({"step": step.number})
        store.flush()
    elif step.kind == "optimize":
        store.optimize()
    elif step.kind == "delete":
        store.delete(filters={"source": list(step.sources)})
        store.flush()
    else:
        documents = [document(source, step.after[source]) for source in step.sources]
        ingest(
            documents,
            passages,
            embed=_embed,
            store=store,
            encoder=BM25Encoder(),
            report=AddReport(),
        )


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # at once, whatever comes


def main(settings: dict[str, int | str]) -> None:
    """Run the steps from `first` up to `last`, in an index that is closed now and then."""
    folder, first, last = (
        Path(str(settings["folder"])),
        *(int(settings[name]) for name in ("first", "last")),
    )
    plan = islice(steps(int(settings["seed"])), first, last)
    while block := list(islice(plan, _REOPEN)):
        _say("opening")
        with EdgeStore(folder, dimension=DIMENSION) as store:
            for step in block:
                _say(f"{step.kind} {step.number}")
                _run(step, store)
                _say(f"done {step.number}")
            _say("closing")
    _say("closed")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
