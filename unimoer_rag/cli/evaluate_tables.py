"""How a result of `unimoer-rag eval` looks on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from unimoer_rag.cli.output import columns, console, print_note
from unimoer_rag.wording import counted

if TYPE_CHECKING:
    from unimoer_rag.evaluation import Judgement, Result

__all__ = ["print_result"]


def print_result(result: Result) -> None:
    """A result as tables, and what of its data is worth a look on standard error."""
    console.print(_quality(result))
    if result.ragas is not None:
        console.print(_judgements(result.ragas))
    console.print(_speed(result))
    empty = result.answers.get("empty_golds")
    if isinstance(empty, Sequence) and empty:
        print_note(
            f"{len(empty)} questions have accepted answers that are nothing but punctuation and "
            f"articles, such as {empty[0]!r}: see 'empty_golds' and docs/evaluation.md"
        )


def _quality(result: Result) -> Table:
    table = Table(
        title=f"{_name(result)} on {result.dataset} {result.split} "
        f"({counted(result.n, 'question')}, {counted(result.passages, 'passage')})"
    )
    columns(table, "measure", "first stage", "95% interval", "reranked", "95% interval")
    for measure in result.retrieval:
        table.add_row(
            measure,
            *_mean(result, "retrieval", measure, digits=4),
            *_mean(result, "rerank", measure, digits=4),
        )
    table.add_section()
    for measure in _answer_measures(result.means("answers")):
        table.add_row(f"answers: {measure}", *_mean(result, "answers", measure, digits=2))
    return table


def _answer_measures(answers: Mapping[str, float]) -> list[str]:
    """Those to show; of questions without an answer only where there are some."""
    measures = ["em", "f1", "given_em", "given_f1", "abstention"]
    if answers.get("n_no_answer"):
        measures += ["has_answer_em", "has_answer_f1", "no_answer_f1"]
    measures += ["citation_precision", "citation_recall"]
    return [measure for measure in measures if measure in answers]


def _name(result: Result) -> str:
    """What was measured: of our own models the checkpoint, else the system."""
    if result.first_stage == "given run" and not result.rerank:
        return "a given run"
    return str(result.checkpoint) if result.system == "unimoer" else result.name


def _judgements(found: Mapping[str, Judgement]) -> Table:
    table = Table(title="judged by ragas")
    columns(table, "metric", "mean", "95% interval", "judged", "failed", "skipped")
    for metric, row in found.items():
        mean, interval = "", ""
        if row.mean is not None:
            mean, interval = f"{row.mean:.4f}", f"{row.low:.4f} to {row.high:.4f}"
        table.add_row(metric, mean, interval, str(row.n), str(row.failed), str(row.skipped))
    return table


def _speed(result: Result) -> Table:
    memory = ", ".join(f"{name} {value:.0f} MB" for name, value in result.memory_mb.items())
    table = Table(title="one call at a time, and all questions", caption=f"memory: {memory}")
    columns(table, "stage", "p50 ms", "p95 ms", "p99 ms", "questions a second")
    times, rates = result.latency_percentiles_ms, result.questions_per_second
    for name in dict.fromkeys([*times, *rates]):
        latency = [f"{times[name][p]:.1f}" if name in times else "" for p in ("p50", "p95", "p99")]
        table.add_row(name, *latency, f"{rates[name]:.1f}" if name in rates else "")
    return table


def _mean(result: Result, part: str, measure: str, *, digits: int) -> tuple[str, str]:
    """A mean and the interval around it; nothing where it was not measured."""
    means = result.means(part)
    if measure not in means:
        return "", ""
    ends = result.intervals[part][measure]
    return f"{means[measure]:.{digits}f}", f"{ends.low:.{digits}f} to {ends.high:.{digits}f}"
