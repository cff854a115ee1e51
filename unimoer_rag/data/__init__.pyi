from .answer_rules import (
    DEFAULT_RULES,
    WHOLE,
    AnswerRules,
    comparable,
    has_answer,
    normalize_answer,
)
from .catalogue.known import KNOWN
from .catalogue.missing import readable_size
from .catalogue.opening import open_dataset, to_download
from .corpora import Progress, cache_folder
from .datasets import TOP_GRADE, BeirDataset, Question, check_limit, load_beir, load_limited
from .disk_corpus import DiskCorpus
from .fingerprint import corpus_sha256, questions_sha256
from .lines import malformed, reading
from .own import Split, own_dataset, own_passages
from .own_questions import Asked, Places, literal, read_questions
from .runs import Run, load_run, ranked, write_run

__all__ = [
    "DEFAULT_RULES",
    "KNOWN",
    "TOP_GRADE",
    "WHOLE",
    "AnswerRules",
    "Asked",
    "BeirDataset",
    "DiskCorpus",
    "Places",
    "Progress",
    "Question",
    "Run",
    "Split",
    "cache_folder",
    "check_limit",
    "comparable",
    "corpus_sha256",
    "has_answer",
    "literal",
    "load_beir",
    "load_limited",
    "load_run",
    "malformed",
    "normalize_answer",
    "open_dataset",
    "own_dataset",
    "own_passages",
    "questions_sha256",
    "ranked",
    "read_questions",
    "readable_size",
    "reading",
    "to_download",
    "write_run",
]
