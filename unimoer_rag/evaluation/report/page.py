"""A result as one HTML page that needs nothing but itself: no script, no link, no network.

Texts of the data set and of the model go into the page, so everything is escaped, and the page's
own policy forbids scripts and requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unimoer_rag.evaluation.report.plots import distribution, latency_bars, movement
from unimoer_rag.evaluation.report.texts import shown
from unimoer_rag.evaluation.results import Ends, Result
from unimoer_rag.extras import needs_extra

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["page_template", "render_page"]

_STAGES = {"first": "First stage", "second": "Reranker"}
# Of the answers, what is a mean over questions, and what to call it.
_ANSWERS = {
    "em": "exact match",
    "f1": "F1",
    "given_em": "exact match, an abstention counts as wrong",
    "given_f1": "F1, an abstention counts as wrong",
    "abstention": "abstention",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "has_answer_em": "exact match, answerable questions",
    "has_answer_f1": "F1, answerable questions",
    "no_answer_f1": "rightly abstained, unanswerable questions",
}


@dataclass(frozen=True, slots=True)
class _Mean:
    """A mean to show, with its interval where there is one."""

    value: float
    ends: Ends | None


def render_page(result: Result) -> str:
    """One self-contained HTML page: means, plots, the worst questions, settings.

    Args:
        result: as `load_result` reads it.

    Raises:
        MissingExtraError: Jinja is not installed.
    """
    return page_template().render(**_content(result))


def page_template(
    name: str = "report.html.jinja", *, package: str = __package__, extra: str = "eval"
) -> Template:
    """A page's template; asked for early, it tells early that Jinja is missing.

    Args:
        name: its file, by default that of a result's page.
        package: whose templates come before the style and the charts that all pages share.
        extra: what installs Jinja.

    Raises:
        MissingExtraError: Jinja is not installed.
    """
    with needs_extra("jinja2", extra, "writing an HTML report"):
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    packages = dict.fromkeys((package, __package__))
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(each) for each in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment.get_template(name)


def _content(result: Result) -> dict[str, Any]:
    reranked = any(after is not None for _, after in result.details.ranks.values())
    return {
        "result": result,
        "headline": list(_headline(result)),
        "ranking": list(_ranking(result)),
        "answers": list(_answers(result)),
        "settings": list(_settings(result)),
        "movement": movement(result.details.ranks) if reranked else None,
        "latency": latency_bars(result.latency_percentiles_ms),
        "distributions": [
            distribution(_STAGES.get(stage, stage), histogram)
            for stage, histogram in result.details.scores.items()
        ],
    }


def _headline(result: Result) -> Iterator[tuple[str, str, str]]:
    """What one wants to see first: a name, a figure and its unit."""
    for part, words in (("retrieval", "nDCG@10, first stage"), ("rerank", "nDCG@10, reranked")):
        if mean := _mean(result, part, "nDCG@10"):
            yield words, _number(mean.value), ""
    for measure, words in (("f1", "F1 of answers"), ("em", "exact match")):
        if measure in (answers := result.means("answers")):
            yield words, _number(answers[measure], 1), "%"
    times = result.latency_percentiles_ms
    for stage in ("answer", "rerank", "search"):
        if stage in times:
            yield f"median {stage}", _number(times[stage]["p50"], 0), "ms"
            break
    if "model" in result.memory_mb:
        yield "model in memory", _number(result.memory_mb["model"], 0), "MB"


def _ranking(result: Result) -> Iterator[tuple[str, _Mean | None, _Mean | None]]:
    for measure in dict.fromkeys([*result.retrieval, *result.rerank]):
        yield measure, _mean(result, "retrieval", measure), _mean(result, "rerank", measure)


def _answers(result: Result) -> Iterator[tuple[str, _Mean]]:
    unanswerable = result.answers.get("n_no_answer") != 0
    for measure, name in _ANSWERS.items():
        if measure.startswith("has_answer") and not unanswerable:
            continue  # the same as over all questions
        if mean := _mean(result, "answers", measure):
            yield name, mean


def _settings(result: Result) -> Iterator[tuple[str, str]]:
    """What else the figures depend on: of other systems than ours, and of pipelines from files."""
    written = result.to_dict()
    for name in ("embedder", "reranker", "reader", "pipeline", "limit"):
        if value := written.get(name):
            yield name, json.dumps(value, ensure_ascii=False)
    if result.threshold is not None:
        yield "threshold of an answer", f"{result.threshold:g}"
    if result.ragas_judge is not None:
        yield "judge of ragas", result.ragas_judge


def _mean(result: Result, part: str, measure: str) -> _Mean | None:
    means = result.means(part)
    if measure not in means:
        return None
    return _Mean(means[measure], result.intervals.get(part, {}).get(measure))


def _number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
