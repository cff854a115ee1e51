"""All studies as one HTML page that needs nothing but itself: no script, no link, no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unimoer_rag.evaluation import Chart, Value, interval_chart, page_template, series_chart
from unimoer_rag.lab.studies.panels import Folded
from unimoer_rag.lab.studies.report.tables import comparisons, numbers, scores
from unimoer_rag.lab.studies.results import StudyResult

__all__ = ["differences", "draw", "levels", "render_studies"]


def render_studies(results: Sequence[StudyResult]) -> str:
    """The page: of each study its question, tables and plots.

    Args:
        results: in the order to show.

    Raises:
        MissingExtraError: Jinja is not installed.
    """
    template = page_template("studies.html.jinja", package=__package__, extra="studies")
    return template.render(studies=[_content(result) for result in results])


def _content(result: StudyResult) -> dict[str, Any]:
    tasks = [t for t in ("embed", "rerank") if t in next(iter(result.variants.values())).scores]
    charts = [levels(result, task) for task in tasks]
    if result.comparisons:
        charts.append(differences(result))
    inside = [draw(p, name) for name, v in result.variants.items() for p in v.panels]
    return {
        "result": result,
        "tables": [t for t in (scores(result), comparisons(result), numbers(result)) if t.rows],
        "charts": charts,
        "inside": inside,
        "minutes": sum(sum(v.seconds) for v in result.variants.values()) / 60,
    }


def draw(panel: Folded, variant: str) -> Chart:
    """A panel of a variant as a plot."""
    series = {
        name: [Value(p.x, p.mean, p.low, p.high) for p in points]
        for name, points in panel.series.items()
    }
    title = f"{panel.title} ({variant})"
    return series_chart(panel.kind, title, series, x=panel.x, y=panel.y, note=panel.note)


def levels(result: StudyResult, task: str) -> Chart:
    """Every variant's score of a task, with its interval over seeds."""
    found = {name: v.scores[task] for name, v in result.variants.items() if task in v.scores}
    rows = [(Value(n, s.mean, s.low, s.high), f"{s.mean:.4f}", True) for n, s in found.items()]
    return interval_chart(f"nDCG@10 of {task}", rows)


def differences(result: StudyResult) -> Chart:
    """Every comparison's difference with its interval, around no difference."""
    rows = [
        (
            Value(f"{c.second} - {c.first}: {c.measure}", c.difference, c.low, c.high),
            f"{c.difference:+.4f}",
            c.significant,
        )
        for c in result.comparisons
    ]
    return interval_chart(
        "Differences in nDCG@10",
        rows,
        zero=True,
        note="Bright: significant once all comparisons of the study are considered (Holm).",
    )
