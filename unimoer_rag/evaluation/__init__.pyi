from .answer_threshold import AnswerCalibration
from .answers import AnswerScores, exact_match, f1, score_answers
from .calibrating import FEW, Calibration, calibrate_rerank, outcomes_on
from .calibrating_own import OwnCalibration, calibrate_own
from .compare import compare_results
from .drafting.making import Drafted, make_questions
from .environment import distinct_bytes, versions
from .estimate import LARGE, estimate_indexing
from .indexing import caching, first_stage
from .judge import Judge
from .measure_answers import read_contexts
from .measure_ranking import asked, known_run, rerank_run, search_run
from .moved import BeirDataset, Question, load_beir, load_run, open_dataset, write_run
from .mteb_models import MtebEncoder, MtebReranker, MtebSearch
from .mteb_run import ROLES, Role, TaskScore, find_tasks, run_tasks
from .options import EvalOptions
from .passages import holds_answer
from .ranking import MEASURES, evaluate_run, per_query
from .report.charts import Chart, Value, interval_chart, series_chart
from .report.page import page_template, render_page
from .report.table import Row, columns_with_values, markdown_table, system_rows
from .report.texts import markdown_cell
from .results import Judgement, Limit, Result, load_result
from .skipping import LOSS, Outcomes, Statistic, choose_threshold, cross_validate
from .suites import SUITE_MEASURE, SuiteResult, evaluate_suite, mean_of
from .systems.pipeline import check_pipeline, configured
from .systems.registry import READER, Models, build_system, choose_models, find_entry
from .systems.types import Embedder, Ranker, Rescorer, System
from .systems.unified import Unified, corpus_in_index, describe_checkpoint

__all__ = [
    "FEW",
    "LARGE",
    "LOSS",
    "MEASURES",
    "READER",
    "ROLES",
    "SUITE_MEASURE",
    "AnswerCalibration",
    "AnswerScores",
    "BeirDataset",
    "Calibration",
    "Chart",
    "Drafted",
    "Embedder",
    "EvalOptions",
    "Judge",
    "Judgement",
    "Limit",
    "Models",
    "MtebEncoder",
    "MtebReranker",
    "MtebSearch",
    "Outcomes",
    "OwnCalibration",
    "Question",
    "Ranker",
    "Rescorer",
    "Result",
    "Role",
    "Row",
    "Statistic",
    "SuiteResult",
    "System",
    "TaskScore",
    "Unified",
    "Value",
    "asked",
    "build_system",
    "caching",
    "calibrate_own",
    "calibrate_rerank",
    "check_pipeline",
    "choose_models",
    "choose_threshold",
    "columns_with_values",
    "compare_results",
    "configured",
    "corpus_in_index",
    "cross_validate",
    "describe_checkpoint",
    "distinct_bytes",
    "estimate_indexing",
    "evaluate_run",
    "evaluate_suite",
    "exact_match",
    "f1",
    "find_entry",
    "find_tasks",
    "first_stage",
    "holds_answer",
    "interval_chart",
    "known_run",
    "load_beir",
    "load_result",
    "load_run",
    "make_questions",
    "markdown_cell",
    "markdown_table",
    "mean_of",
    "open_dataset",
    "outcomes_on",
    "page_template",
    "per_query",
    "read_contexts",
    "render_page",
    "rerank_run",
    "run_tasks",
    "score_answers",
    "search_run",
    "series_chart",
    "system_rows",
    "versions",
    "write_run",
]
