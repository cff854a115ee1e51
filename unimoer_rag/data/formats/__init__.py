"""Official files of questions and passages, one format a file, told apart by what they hold."""

from unimoer_rag.data.formats.question_set import QuestionSet
from unimoer_rag.data.formats.recognise import CORPORA, QUESTIONS, RULES, find_format

__all__ = ["CORPORA", "QUESTIONS", "RULES", "QuestionSet", "find_format"]
