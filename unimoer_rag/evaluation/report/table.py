"""Several systems on the same data set, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.compare import check_same_data
from unimoer_rag.evaluation.report.texts import markdown_cell
from unimoer_rag.evaluation.results import Result

__all__ = ["COLUMNS", "Column", "Row", "columns_with_values", "markdown_table", "system_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One system's quality, latency and memory; None where it was not measured.

    Attributes:
        system: its name, with the checkpoint where that says more.
        first_stage: how it searches.
        rerank_depth: how many results were reranked.
        ndcg_first: nDCG@10 of the first stage, in [0, 1].
        ndcg: nDCG@10 after reranking.
        recall: recall@100 of the first stage.
        em: exact match of the answers, in percent.
        f1: their F1, in percent.
        search_ms: median milliseconds of a search.
        rerank_ms: of reranking for one question.
        answer_ms: of a whole answer.
        warm_answer_ms: of one that finds what earlier ones have encoded.
        cold: whether `answer_ms` is of calls that find nothing kept, as the other times are; older
            versions timed answers warm.
        model_mb: megabytes of the loaded tensors.
        peak_mb: of the process at its peak.
        gpu_mb: of GPU memory at its peak.
    """

    system: str
    first_stage: str
    rerank_depth: int | str
    ndcg_first: float | None
    ndcg: float | None
    recall: float | None
    em: float | None
    f1: float | None
    search_ms: float | None
    rerank_ms: float | None
    answer_ms: float | None
    warm_answer_ms: float | None
    cold: bool
    model_mb: float | None
    peak_mb: float | None
    gpu_mb: float | None


@dataclass(frozen=True, slots=True)
class Column:
    """How a value of a row is shown.

    Attributes:
        field: of `Row`.
        heading: its name in a table.
        digits: behind the point.
        quality: whether the highest value is the best.
    """

    field: str
    heading: str
    digits: int = 0
    quality: bool = False

    def text(self, row: Row) -> str:
        """The row's value, "" where there is none."""
        value = getattr(row, self.field)
        return "" if value is None else f"{value:,.{self.digits}f}"


COLUMNS = (
    Column("ndcg_first", "nDCG@10 first", digits=4, quality=True),
    Column("ndcg", "nDCG@10 reranked", digits=4, quality=True),
    Column("recall", "R@100", digits=4, quality=True),
    Column("em", "EM", digits=2, quality=True),
    Column("f1", "F1", digits=2, quality=True),
    Column("search_ms", "search ms", digits=1),
    Column("rerank_ms", "rerank ms"),
    Column("answer_ms", "answer ms"),
    Column("warm_answer_ms", "answer ms, warm"),
    Column("model_mb", "model MB"),
    Column("peak_mb", "peak MB"),
    Column("gpu_mb", "GPU MB"),
)
"""What a table of systems shows, in order."""


def system_rows(results: Sequence[Result], names: Sequence[str] = ()) -> list[Row]:
    """One row a result.

    Args:
        results: of one data set.
        names: what messages call them, such as their files.

    Raises:
        InputError: there are no results.
        DataError: they were not all measured on the same questions over the same corpus.
    """
    if not results:
        raise InputError("there are no results to put into a table: name one or more")
    called = names or [f"result {n}" for n in range(1, len(results) + 1)]
    for at, other in enumerate(results):
        check_same_data(results[0], other, names=(called[0], called[at]))
    return [_row(result) for result in results]


def columns_with_values(rows: Sequence[Row]) -> list[Column]:
    """The columns in which any row has a value."""
    return [c for c in COLUMNS if any(getattr(row, c.field) is not None for row in rows)]


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table; the best of each measure of quality in bold."""
    columns = columns_with_values(rows)
    lines = [
        f"| system | first stage | reranked | {' | '.join(c.heading for c in columns)} |",
        "|---|---|---:|" + "---:|" * len(columns),
    ]
    for row in rows:
        name = markdown_cell(row.system)
        cells = [_bold_if_best(column, row, rows) for column in columns]
        stages = f"{markdown_cell(row.first_stage)} | {row.rerank_depth}"
        lines.append(f"| {name} | {stages} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(result: Result) -> Row:
    known = result.system if result.system not in (None, result.checkpoint) else None
    name = f"{known} ({result.checkpoint})" if known and result.checkpoint else result.name
    medians = {stage: times.get("p50") for stage, times in result.latency_percentiles_ms.items()}
    warm = result.warm_latency_percentiles_ms
    answers = result.means("answers")
    return Row(
        system=name,
        first_stage=result.first_stage,
        rerank_depth=result.rerank_depth,
        ndcg_first=result.retrieval.get("nDCG@10"),
        ndcg=result.rerank.get("nDCG@10"),
        recall=_recall(result),
        em=answers.get("em"),
        f1=answers.get("f1"),
        search_ms=medians.get("search"),
        rerank_ms=medians.get("rerank"),
        answer_ms=medians.get("answer", medians.get("read")),
        warm_answer_ms=(warm or {}).get("answer", {}).get("p50"),
        cold=warm is not None or "answer" not in medians,
        model_mb=result.memory_mb.get("model"),
        peak_mb=result.memory_mb.get("peak"),
        gpu_mb=result.memory_mb.get("gpu_peak"),
    )


def _recall(result: Result) -> float | None:
    """Recall@100, whichever grade counts as relevant: "R@100" or "R(rel=2)@100"."""
    names = (n for n in result.retrieval if n.startswith(("R@", "R(")) and n.endswith("@100"))
    return result.retrieval.get(next(names, ""))


def _bold_if_best(column: Column, row: Row, rows: Sequence[Row]) -> str:
    text = column.text(row)
    values = [v for other in rows if (v := getattr(other, column.field)) is not None]
    best = column.quality and text and len(values) > 1 and min(values) < max(values)
    return f"**{text}**" if best and getattr(row, column.field) == max(values) else text
