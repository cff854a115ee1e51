"""Official files of questions and passages, one format a file, told apart by what they hold."""

from unimoer_rag.evaluation.formats.recognise import CORPORA, QUESTIONS, RULES, find_format
from unimoer_rag.evaluation.formats.types import QuestionSet

__all__ = ["CORPORA", "QUESTIONS", "RULES", "QuestionSet", "find_format"]
