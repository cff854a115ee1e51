"""All studies as one HTML page that needs nothing but itself: no script, no link, no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unimoer_rag.evaluation import shown
from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.studies.report.charts import differences, draw, levels
from unimoer_rag.lab.studies.report.tables import comparisons, numbers, scores
from unimoer_rag.lab.studies.results import StudyResult

__all__ = ["render_studies"]


def render_studies(results: Sequence[StudyResult]) -> str:
    """The page: of each study its question, tables and plots.

    Args:
        results: in the order to show.

    Raises:
        MissingExtraError: Jinja is not installed.
    """
    with needs_extra("jinja2", "studies", "writing an HTML report"):
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader("unimoer_rag.lab.studies.report"),
                PackageLoader("unimoer_rag.evaluation.report"),  # the style that all pages share
            ]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("studies.html.jinja")
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
