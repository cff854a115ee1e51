"""Ranking measures, by ir-measures (extra `eval`).

Judgements and runs are plain dictionaries: question id -> document id -> grade or score.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

from unimoer_rag.data import TOP_GRADE, ranked
from unimoer_rag.errors import InputError
from unimoer_rag.extras import needs_extra

__all__ = ["MEASURES", "evaluate_run", "per_query"]

MEASURES = ("nDCG@10", "RR@10", "R@5", "R@20", "R@100", "AP")
"""What is reported, in ir-measures' names: RR@10 is MRR@10, R@5 is recall@5, AP is MAP."""

_Qrels = Mapping[str, Mapping[str, int]]
_Run = Mapping[str, Mapping[str, float]]


def evaluate_run(qrels: _Qrels, run: _Run, *, relevance_level: int = 1) -> dict[str, float]:
    """Average every measure over the judged questions.

    Args:
        qrels: judgements; every question in them counts, one without results as 0.
        run: scores. Questions without judgements are left out. Equal scores are ordered by
            document id, descending, as in trec_eval.
        relevance_level: lowest grade that the binary measures (RR, R, AP) take as relevant; nDCG
            uses the grades themselves. `BeirDataset.relevance_level` knows a data set's.

    Returns:
        Measure -> mean in [0, 1]. The names are those that ir-measures prints and parses, so a
        relevance level other than 1 shows: `RR(rel=2)@10`.

    Raises:
        InputError: no judgements, a run that shares no question with them, a score that is not
            finite, or a grade that is no small integer.
        MissingExtraError: ir-measures is not installed.

    Example:
        >>> evaluate_run({"q": {"a": 1}}, {"q": {"a": 0.2, "b": 0.9}})["RR@10"]
        0.5
    """
    values = per_query(qrels, run, relevance_level=relevance_level)
    # The mean is taken here, over the judgements, so that it cannot depend on which questions the
    # providers behind ir-measures choose to report.
    names = next(iter(values.values()))
    return {name: sum(row[name] for row in values.values()) / len(values) for name in names}


def per_query(qrels: _Qrels, run: _Run, *, relevance_level: int = 1) -> dict[str, dict[str, float]]:
    """Compute every measure for each judged question: question id -> measure -> value.

    Arguments and errors as for `evaluate_run`.
    """
    ir_measures = _ir_measures()
    if not qrels:
        raise InputError("there are no judgements (qrels) to evaluate against")
    if run and not qrels.keys() & run.keys():
        raise InputError(
            f"none of the run's {len(run)} questions is judged (run: {next(iter(run))!r}, "
            f"judgements: {next(iter(qrels))!r}): they belong to different data sets or splits"
        )
    measures = _measures(ir_measures, relevance_level)
    values = {qid: {str(measure): 0.0 for measure in measures} for qid in qrels}
    judged, ranks = {}, {}
    qids = {f"q{at}": qid for at, qid in enumerate(qrels)}
    for name, qid in qids.items():
        _check_grades(qid, qrels[qid])
        if found := run.get(qid):
            judged[name], ranks[name] = _named(qrels[qid], _ranks(qid, found))
    # Questions without results are 0, and their judgements nobody's business.
    if ranks:
        for metric in ir_measures.iter_calc(measures, judged, ranks):
            values[qids[metric.query_id]][str(metric.measure)] = float(metric.value)
    return values


def _named(
    grades: Mapping[str, int], ranks: Mapping[str, float]
) -> tuple[dict[str, int], dict[str, float]]:
    """The same under plain names: C code behind the measures takes not every id, or crashes."""
    names = {doc_id: f"d{at}" for at, doc_id in enumerate(dict.fromkeys([*grades, *ranks]))}
    return (
        {names[doc_id]: grade for doc_id, grade in grades.items()},
        {names[doc_id]: rank for doc_id, rank in ranks.items()},
    )


def _check_grades(qid: str, grades: Mapping[str, int]) -> None:
    for doc_id, grade in grades.items():
        if abs(grade) > TOP_GRADE:
            raise InputError(
                f"question {qid!r}, document {doc_id!r}: the grade is {grade}, expected at most "
                f"{TOP_GRADE}"
            )


def _measures(ir_measures: Any, relevance_level: int) -> list[Any]:
    measures = [ir_measures.parse_measure(name) for name in MEASURES]
    return [m(rel=relevance_level) if "rel" in m.SUPPORTED_PARAMS else m for m in measures]


def _ranks(qid: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Replace scores by negated ranks, so that every provider sees one order.

    The providers disagree on ties (trec_eval: document id descending; MS MARCO's RR: ascending),
    and trec_eval keeps scores as 32-bit floats, which makes ties of close ones.
    """
    for doc_id, score in scores.items():
        if not math.isfinite(score):
            raise InputError(
                f"question {qid!r}, document {doc_id!r}: the score is {score}, not a finite number"
            )
    return {doc_id: -float(rank) for rank, doc_id in enumerate(ranked(scores), start=1)}


def _ir_measures() -> Any:
    # Imported on use: it is optional, and importing it installs a logging handler.
    with needs_extra("ir_measures", "eval", "computing ranking measures"):
        return importlib.import_module("ir_measures")
