"""What a checkpoint's experts cost: its tasks against the bare frozen backbone, in one engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, Facts, PassagesOption, RoundsOption
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.texts import make_passages, make_queries
from unimoer_rag.lab.bench.timing import OnRun, alternate, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import Job, Row, Task, UniMoER, load_own

__all__ = ["BENCH", "measure_overhead"]

_BARE, _MERGED = "{}, bare backbone", "{}, merged"


def measure_overhead(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    passages: PassagesOption = 500,
    rounds: RoundsOption = 5,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Run every task with its experts and without any: what routing and experts cost.

    The experts also run merged, for the tasks whose routing is constant and whose experts are on.

    Returns:
        See `report`; `ratio` is the largest of `by_task`: time with experts, routing included, over
        the time without, so 1 is none. `merged` says the same of merged tasks.

    Raises:
        InputError: there are too few rounds.
    """
    model = UniMoER.from_pretrained(checkpoint)
    tasks = model.tasks
    merged = load_own(checkpoint)
    merging = [name for name in tasks if _can_merge(merged, name)]
    merged.merge(*merging)
    sides: dict[str, Callable[[], Any]] = {}
    with Engine(model, cache_bytes=0) as engine, Engine(merged, cache_bytes=0) as without:
        for name, task in tasks.items():
            rows = _rows(model, task, passages)
            sides[name] = partial(_run, engine, rows(task))
            sides[_BARE.format(name)] = partial(_run, engine, rows(task.with_strength(0)))
            if name in merging:
                sides[_MERGED.format(name)] = partial(_run, without, rows(task))
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
    medians = {name: round(taken, 3) for name, taken in seconds.medians().items()}
    by_task = {name: seconds.ratio(name, _BARE.format(name)) for name in tasks}
    return report(
        "overhead",
        ratio=max(by_task.values()),
        by_task=by_task,
        merged={n: seconds.ratio(_MERGED.format(n), _BARE.format(n)) for n in merging},
        checkpoint=checkpoint,
        passages=passages,
        rounds=rounds,
        ours={"seconds": {name: medians[name] for name in tasks}},
        others={"bare": {"seconds": {n: medians[_BARE.format(n)] for n in tasks}}},
        seconds=seconds.rounded(),
    )


def _can_merge(model: UniMoER, name: str) -> bool:
    """Whether a task has experts at work, and constant routing."""
    try:
        model.merge(name)
    except InputError:
        return False
    return bool(model.task(name).strength)


def _rows(model: UniMoER, task: Task, n: int) -> Callable[[Task], list[Row]]:
    texts = make_passages(model.tokenizer, n)
    if not task.joint:
        return partial(model.rows.single, texts)
    pairs = list(zip(make_queries(model.tokenizer, n), texts, strict=True))
    return partial(model.rows.pairs, pairs)


def _run(engine: Engine, rows: list[Row]) -> None:
    engine.submit(Job(rows, len)).result()


def _table(found: Facts) -> Table:
    bare, merged = found["others"]["bare"]["seconds"], found["merged"]
    return Table(
        f"seconds, medians of {found['rounds']} rounds",
        ("task", "with experts", "bare backbone", "ratio", "ratio, merged"),
        [
            (
                task,
                f"{taken:.3f}",
                f"{bare[task]:.3f}",
                f"{found['by_task'][task]:.3f}",
                f"{merged[task]:.3f}" if task in merged else "",
            )
            for task, taken in found["ours"]["seconds"].items()
        ],
    )


BENCH = Bench(measure_overhead, _table, quick={"passages": 12})
