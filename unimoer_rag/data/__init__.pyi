from .answer_rules import (
    DEFAULT_RULES,
    WHOLE,
    AnswerRules,
    comparable,
    has_answer,
    normalize_answer,
)
from .answer_spans import ReadExample, ReadSource, find_spans
from .by_place import ByPlace
from .catalogue.known import KNOWN, SUITES, Suite
from .catalogue.missing import readable_size
from .catalogue.opening import open_dataset, to_download
from .catalogue.published import Published, published
from .catalogue.suite_files import check_suite
from .datasets import TOP_GRADE, BeirDataset, Question, check_limit, load_beir, load_limited
from .disk_corpus import DiskCorpus
from .drafts.draft import Draft, as_lines, by_rules, dealt, unique
from .drafts.prose import sentence_at
from .examples import Group, Labelled, TrainingSet
from .fingerprint import corpus_sha256, questions_sha256
from .groups import has_negatives, open_rows
from .ir_dataset import open_ir_dataset
from .jsonl_rows import JsonlRows
from .judged_groups import beir_set
from .labelled import LabelledRows
from .opened_sources import Sources
from .own_questions import literal, plain
from .own_set import OwnPassages, OwnSet, own_dataset, own_passages
from .own_split import OwnData, OwnReport, own_datasets
from .pseudo_questions import pseudo_questions, with_pseudo_questions
from .source_settings import Part, SourceConfig
from .trec_runs import Run, load_run, ranked, save_run, write_run, write_submission

__all__ = [
    "DEFAULT_RULES",
    "KNOWN",
    "SUITES",
    "TOP_GRADE",
    "WHOLE",
    "AnswerRules",
    "BeirDataset",
    "ByPlace",
    "DiskCorpus",
    "Draft",
    "Group",
    "JsonlRows",
    "Labelled",
    "LabelledRows",
    "OwnData",
    "OwnPassages",
    "OwnReport",
    "OwnSet",
    "Part",
    "Published",
    "Question",
    "ReadExample",
    "ReadSource",
    "Run",
    "SourceConfig",
    "Sources",
    "Suite",
    "TrainingSet",
    "as_lines",
    "beir_set",
    "by_rules",
    "check_limit",
    "check_suite",
    "comparable",
    "corpus_sha256",
    "dealt",
    "find_spans",
    "has_answer",
    "has_negatives",
    "literal",
    "load_beir",
    "load_limited",
    "load_run",
    "normalize_answer",
    "open_dataset",
    "open_ir_dataset",
    "open_rows",
    "own_dataset",
    "own_datasets",
    "own_passages",
    "plain",
    "pseudo_questions",
    "published",
    "questions_sha256",
    "ranked",
    "readable_size",
    "save_run",
    "sentence_at",
    "to_download",
    "unique",
    "with_pseudo_questions",
    "write_run",
    "write_submission",
]
