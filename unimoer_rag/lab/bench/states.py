"""Reranking from token states in the index, against encoding the candidates for every query."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any, cast, get_args

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.data import BeirDataset, Run, load_beir, load_run, ranked
from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation import (
    Rescorer,
    Unified,
    asked,
    evaluate_run,
    known_run,
    rerank_run,
    search_run,
)
from unimoer_rag.lab.bench.bench import Bench, Facts, RoundsOption
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.timing import (
    OnRun,
    alternate,
    check_rounds,
    silent,
)
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import LateHead, LateState, StateFormat, UniMoER, late_task, ranking_states
from unimoer_rag.model.tasks.state_format import Precision
from unimoer_rag.retrieval import (
    WHOLE,
    EdgeStore,
    Hit,
    Passage,
    Record,
    SparseVector,
    StoredStates,
    UnifiedRetriever,
)

__all__ = ["BENCH", "measure_states"]

_FORMATS = {
    f"{precision}, pooled by {pooling}": StateFormat(precision, pooling)
    for precision in get_args(Precision)
    for pooling in (1, 2, 4)
}
_COMPARED = "int8, pooled by 1"
_ENCODED = "encoded at query time"
_LOSSLESS = StateFormat("float16")
_CANDIDATES = (50, 200, 1000)  # that MaxSim alone is measured over
_PAGE = 256

Floats = NDArray[np.float32]


def measure_states(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    data: Annotated[Path, typer.Option("--data", help="A folder in the BEIR layout.")],
    split: Annotated[str | None, typer.Option(help="Of the data set.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="First stage in the TREC format, of which all is reranked; else the best of a "
            "dense search."
        ),
    ] = None,
    depth: Annotated[int, typer.Option(help="Candidates in the measured times.")] = 50,
    limit: Annotated[int | None, typer.Option(help="Questions, drawn at random.")] = None,
    timed: Annotated[int, typer.Option(help="Questions whose reranking is timed.")] = 10,
    rounds: RoundsOption = 5,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Rerank from token states kept in the index, against encoding the candidates.

    Returns:
        See `report`. For each format: `bytes_a_passage`; `ndcg_at_10`; `score_change`, by how
        much the best candidate's probability is higher than when encoded, on the mean;
        `milliseconds_a_query` to read the states of `depth` passages from an index folder, encode
        the query and rank. `ratio` is for int8 without pooling, and so is `maxsim_milliseconds`:
        the comparison of a query with so many candidates alone.

    Raises:
        DataError: the data cannot be read, the run is not theirs, or no question has `depth`
            candidates to time.
        InputError: there are too few rounds or timed questions, or the model keeps no states.
        MissingExtraError: ir-measures is not installed.
    """
    check_rounds(rounds)
    if timed < 1:
        raise InputError(f"timed is {timed}: expected at least one question")
    dataset = load_beir(data, split)
    dataset = dataset if limit is None else dataset.limit(limit)
    given = None if run is None else known_run(load_run(run), dataset, asked(dataset))
    model = UniMoER.from_pretrained(checkpoint, device="cpu")
    late_task(model)  # refuses a model that keeps no states
    encoding = Unified(model)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        on_run("indexing")
        with UnifiedRetriever(
            model, index=scratch / "index", chunking=WHOLE, token_states="float16"
        ) as index:
            found = _candidates(index, dataset, given, depth)
            full = _states(index, list(found.passages.values()))
        shown = found.to_time(depth)[:timed]
        on_run(_ENCODED)
        exact = found.rerank(encoding)
        facts: dict[str, dict[str, Any]] = {_ENCODED: {"ndcg_at_10": found.ndcg(exact)}}
        sides: dict[str, Callable[[], Any]] = {_ENCODED: partial(_encode, encoding, shown)}
        for name, form in _FORMATS.items():
            on_run(name)
            packed = _packed(full, form, model)
            scores = found.rerank(_Kept(model, packed, form))
            facts[name] = {
                **asdict(form),
                "bytes_a_passage": round(fmean(map(len, packed.values()))),
                "ndcg_at_10": found.ndcg(scores),
                "score_change": _change(scores, exact),
            }
            folder = EdgeStore(scratch / name, dimension=model.dimension)
            stack.callback(folder.close)
            _fill(folder, shown, packed)
            sides[name] = partial(_rank, model, shown, StoredStates(folder, form))
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
        maxsim = alternate(_comparisons(model, shown, full), rounds=rounds, on_run=on_run)
    for name, taken in seconds.items():
        facts[name]["milliseconds_a_query"] = _milliseconds(taken, len(shown))
    others = {_ENCODED: facts.pop(_ENCODED)}
    return report(
        "states",
        ratio=seconds.ratio(_ENCODED, _COMPARED),
        checkpoint=checkpoint,
        data=dataset.name,
        split=dataset.split,
        questions=len(found.first),
        passages=len(full),
        depth=depth,
        timed=len(shown),
        rounds=rounds,
        maxsim_milliseconds={
            str(n): _milliseconds(taken, len(shown))
            for n, taken in zip(_CANDIDATES, maxsim.values(), strict=True)
        },
        ours=facts,
        others=others,
        seconds=seconds.rounded(),
    )


Shown = Sequence[tuple[str, Sequence[Passage]]]
"""Questions, each with passages to rank."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What is reranked: a first stage over a data set.

    Attributes:
        dataset: questions and judgements.
        first: the candidates' scores.
        passages: the candidates, by document.
    """

    dataset: BeirDataset
    first: Run
    passages: Mapping[str, Passage]

    def rerank(self, system: Rescorer) -> Run:
        """All candidates by a system's scores."""
        deepest = max(map(len, self.first.values()))
        questions = asked(self.dataset)
        return rerank_run(system, self.dataset, questions, self.first, deepest, _silent)

    def ndcg(self, run: Run) -> float:
        """nDCG@10 over the judged questions."""
        level = self.dataset.relevance_level
        found = evaluate_run(self.dataset.qrels, run, relevance_level=level)
        return round(found["nDCG@10"], 4)

    def to_time(self, depth: int) -> list[tuple[str, list[Passage]]]:
        """The questions that have `depth` candidates, each with the best of them."""
        shown = [
            (q.text, [self.passages[document] for document in ranked(self.first[q.id])[:depth]])
            for q in asked(self.dataset)
            if len(self.first.get(q.id, ())) >= depth
        ]
        if not shown:
            raise DataError(
                f"no question of {self.dataset.name!r} {self.dataset.split} has {depth} "
                "candidates: give a smaller depth"
            )
        return shown


def _silent(what: str, done: int, size: int) -> None:
    """Progress is told by side."""


def _candidates(
    index: UnifiedRetriever, dataset: BeirDataset, given: Run | None, depth: int
) -> _Candidates:
    """The first stage's candidates, all of which the index then holds."""
    if given is None:
        index.add(dataset.corpus.values(), replace=False)
        first = search_run(index, dataset, asked(dataset), depth, _silent)
    else:
        documents = dict.fromkeys(document for scores in given.values() for document in scores)
        index.add((dataset.corpus[document] for document in documents), replace=False)
        first = given
    wanted = {document for scores in first.values() for document in scores}
    passages = {p.source: p for p in index.store.scroll() if p.source in wanted}
    return _Candidates(dataset, first, passages)


def _states(index: UnifiedRetriever, passages: Sequence[Passage]) -> dict[str, bytes]:
    """The states that the index keeps of some passages, by their content."""
    found: dict[str, bytes] = {}
    for at in range(0, len(passages), _PAGE):
        page = passages[at : at + _PAGE]
        states = index.store.states([passage.id for passage in page])
        found |= {passage.content: states[passage.id] for passage in page}
    return found


def _packed(full: Mapping[str, bytes], form: StateFormat, model: UniMoER) -> dict[str, bytes]:
    """States in a format, from those that lost nothing."""
    return {text: form.pack(_restored(packed, _LOSSLESS, model)) for text, packed in full.items()}


def _restored(packed: bytes, form: StateFormat, model: UniMoER) -> LateState:
    head: LateHead = model.heads["rerank"]  # type: ignore[assignment]
    sizes = head.token_width(model.width), head.text_width(model.width)
    return form.unpack(packed, sizes[0], text_width=sizes[1])


def _fill(folder: EdgeStore, shown: Shown, packed: Mapping[str, bytes]) -> None:
    vector = np.ones(folder.dimension, np.float32)  # nothing is searched for
    folder.upsert(
        Record(passage, vector, SparseVector((), ()), packed[passage.content])
        for _, passages in shown
        for passage in passages
    )
    folder.flush()


class _Kept:
    """Ranks by states that are kept, found by text."""

    def __init__(self, model: UniMoER, packed: Mapping[str, bytes], form: StateFormat) -> None:
        self.model, self.packed, self.form = model, packed, form

    def rank(self, questions: Sequence[str], documents: Sequence[Sequence[str]]) -> list[Floats]:
        """The RERANK task's logits, with its feedback."""
        engine = Engine.of(self.model)
        futures = [
            engine.submit(
                ranking_states(
                    self.model, question, [self.packed[t] for t in texts], self.form, logits=True
                )
            )
            for question, texts in zip(questions, documents, strict=True)
        ]
        return [future.result() for future in futures]


def _change(run: Run, exact: Run) -> float:
    """By how much the best candidate's probability grew, on the mean over questions."""
    changes = [_best(scores) - _best(exact[question]) for question, scores in run.items()]
    return round(fmean(changes), 4) + 0.0  # no negative zero


def _best(logits: Mapping[str, float]) -> float:
    return 1 / (1 + math.exp(-max(logits.values())))


def _encode(system: Unified, shown: Shown) -> None:
    """Rank each question's passages, none of them seen before."""
    for question, passages in shown:
        system.forget()
        system.rank([question], [[passage.content for passage in passages]])


def _rank(model: UniMoER, shown: Shown, stored: StoredStates) -> None:
    """Rank each question's passages by their states in an index."""
    engine = Engine.of(model)
    for question, passages in shown:
        engine.cache.clear()
        states = stored.of([Hit(passage) for passage in passages])
        engine.submit(
            ranking_states(model, question, states or [], stored.form, logits=True)
        ).result()


def _comparisons(
    model: UniMoER, shown: Shown, full: Mapping[str, bytes]
) -> dict[str, Callable[[], Any]]:
    """MaxSim of every question with some documents, nothing else."""
    form = _FORMATS[_COMPARED]
    texts = [passage.content for _, passages in shown for passage in passages]
    packed = _packed({text: full[text] for text in texts}, form, model)
    states = [_restored(each, form, model) for each in packed.values()]
    rows = model.rows.single([question for question, _ in shown], late_task(model), "query")
    queries = [cast("LateState", model.run([row])[0]) for row in rows]
    head: LateHead = model.heads["rerank"]  # type: ignore[assignment]

    @torch.inference_mode()
    def compare(documents: Sequence[LateState]) -> None:
        for query in queries:
            head.compare(query, documents)

    return {f"MaxSim of {n}": partial(compare, list(islice(cycle(states), n))) for n in _CANDIDATES}


def _milliseconds(seconds: Sequence[float], queries: int) -> float:
    return round(1000 * median(seconds) / queries, 1)


def _table(found: Facts) -> Table:
    rows = []
    for name, side in {**found["others"], **found["ours"]}.items():
        kept = "bytes_a_passage" in side
        rows.append(
            (
                name,
                f"{side['bytes_a_passage']:,}" if kept else "",
                f"{side['ndcg_at_10']:.4f}",
                f"{round(side['score_change'], 3) + 0.0:+.3f}" if kept else "",  # no negative zero
                f"{side['milliseconds_a_query']:.1f}",
            )
        )
    alone = found["maxsim_milliseconds"].items()
    compared = ", ".join(f"{ms:.1f} with {int(n):,}" for n, ms in alone)
    return Table(
        f"{found['data']} {found['split']}, {found['questions']} questions; "
        f"{found['depth']} candidates",
        ("states", "bytes a passage", "nDCG@10", "score change", "milliseconds a query"),
        rows,
        [f"Milliseconds of MaxSim alone, by candidates, int8 without pooling: {compared}."],
    )


BENCH = Bench(measure_states, _table, quick={"depth": 10, "limit": 20, "timed": 2})
