"""Tasks of mteb run over a model of ours, and what they gave as plain values.

Needs the extra `mteb`. mteb fetches a task's data from the Hub, at the revision it pins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.mteb_models import MtebEncoder, MtebReranker, MtebSearch
from unimoer_rag.extras import needs_extra
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent

__all__ = ["ROLES", "Role", "TaskScore", "find_tasks", "run_tasks"]

Role = Literal["encoder", "reranker", "search"]
ROLES: dict[Role, type[MtebEncoder | MtebReranker | MtebSearch]] = {
    "encoder": MtebEncoder,
    "reranker": MtebReranker,
    "search": MtebSearch,
}
"""What of a model is measured: its vectors, its scores of pairs, or the whole search."""


@dataclass(frozen=True, slots=True)
class TaskScore:
    """What a task gave.

    Attributes:
        task: its name.
        measure: that of its main score.
        score: the main score, in [0, 1]: the mean over its subsets.
        splits: every measure of every split and subset, as mteb gives them.
        revision: of the data.
    """

    task: str
    measure: str
    score: float
    splits: dict[str, list[dict[str, Any]]]
    revision: str


def find_tasks(names: Sequence[str]) -> list[Any]:
    """The tasks of these names, or of benchmarks called so, in order; each once.

    Raises:
        InputError: there is none; names what is nearest to it.
        MissingExtraError: mteb is not installed.
    """
    with needs_extra("mteb", "mteb", "eval --mteb"):
        import mteb

    tasks: dict[str, Any] = {}
    for name in names:
        try:
            found: Any = [mteb.get_task(name)]
        except KeyError as unknown:
            try:
                found = mteb.get_benchmark(name).tasks
            except KeyError:
                near = str(unknown.args[0]).partition(". ")[2] or "mteb.get_tasks() lists all"
                raise InputError(f"mteb has no task or benchmark {name!r}: {near}") from None
        tasks.update((task.metadata.name, task) for task in found)
    return list(tasks.values())


def run_tasks(
    model: UniMoER,
    tasks: Sequence[Any],
    role: Role = "encoder",
    *,
    cache: Path | None = None,
    on_progress: Progress = silent,
) -> list[TaskScore]:
    """Measure a model on tasks.

    Args:
        model: a loaded model.
        tasks: of `find_tasks`, or any `AbsTask` of mteb's.
        role: a key of `ROLES`.
        cache: folder in which mteb keeps what is done, by model, digest and task: a run that was
            interrupted goes on there. None keeps nothing.
        on_progress: called with "measuring", the tasks done and their number.

    Raises:
        DataError: a task's data cannot be had.
        InputError: the role does not exist, or a task cannot be run in it.
        MissingExtraError: mteb is not installed.
    """
    with needs_extra("mteb", "mteb", "measuring with mteb"):
        import mteb
    if role not in ROLES:
        raise InputError(f"no role {role!r} for mteb: expected one of {', '.join(ROLES)}")
    kept = None if cache is None else mteb.ResultCache(cache)
    measured = ROLES[role](model)
    scores: list[TaskScore] = []
    try:
        for task in tasks:
            _load(task)
            try:
                done = mteb.evaluate(
                    measured, task, cache=kept, co2_tracker=False, show_progress_bar=False
                )
            except (TypeError, AttributeError) as error:
                raise InputError(
                    f"mteb's task {task.metadata.name} is one of {task.metadata.type} and asks a "
                    f"model for what a {role} does not do ({error}): choose another role or task"
                ) from error
            scores.append(_score(done.task_results[0], task.metadata.main_score))
            on_progress("measuring", len(scores), len(tasks))
    finally:
        if isinstance(measured, MtebSearch):
            measured.close()
    return scores


def _load(task: Any) -> None:
    """Fetch a task's data before anything is measured with it."""
    if task.data_loaded:
        return
    data = task.metadata.dataset
    try:
        task.load_data()
    except Exception as error:  # of datasets, huggingface_hub, pyarrow and the network
        raise DataError(
            f"the data of mteb's task {task.metadata.name} cannot be had ({type(error).__name__}: "
            f"{error}): it is {data.get('path')} on the Hub at {data.get('revision')}; download it "
            "where there is a network (datasets.load_dataset keeps it), or unset HF_HUB_OFFLINE"
        ) from error


def _score(result: Any, measure: str) -> TaskScore:
    return TaskScore(
        task=result.task_name,
        measure=measure,
        score=float(result.get_score()),
        splits={split: list(found) for split, found in result.scores.items()},
        revision=result.dataset_revision,
    )
