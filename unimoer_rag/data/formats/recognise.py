"""Which format a file has, by its first characters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from unimoer_rag.data.answer_rules import AnswerRules
from unimoer_rag.data.corpora import Passages, beir_passages
from unimoer_rag.data.formats.dpr import dpr_passages
from unimoer_rag.data.formats.flashrag import flashrag_passages, read_flashrag
from unimoer_rag.data.formats.hotpotqa import read_hotpotqa
from unimoer_rag.data.formats.nq_open import read_nq_open
from unimoer_rag.data.formats.question_set import QuestionSet
from unimoer_rag.data.formats.triviaqa import read_triviaqa
from unimoer_rag.data.lines import open_text, reading
from unimoer_rag.errors import DataError

__all__ = ["CORPORA", "QUESTIONS", "RULES", "find_format"]

QUESTIONS: Mapping[str, Callable[[Path], QuestionSet]] = {
    "NQ-open": read_nq_open,
    "TriviaQA": read_triviaqa,
    "HotpotQA": read_hotpotqa,
    "FlashRAG questions": read_flashrag,
}
"""Format -> reader, of questions."""

RULES: Mapping[str, AnswerRules] = {
    "NQ-open": "nq-open",
    "TriviaQA": "triviaqa",
    "HotpotQA": "hotpotqa",
}
"""Format -> whose script compares its answers, where it tells the benchmark."""

CORPORA: Mapping[str, Passages] = {
    "BEIR corpus": beir_passages,
    "FlashRAG corpus": flashrag_passages,
    "DPR passages": dpr_passages,
}
"""Format -> reader, of passages."""

# Enough for the first row of any of them: one of HotpotQA's holds ten paragraphs.
_HEAD = 2**20

# By the keys of the first row; the first that fits.
_ROWS = {
    "FlashRAG corpus": {"id", "contents"},
    "FlashRAG questions": {"question", "golden_answers"},
    "NQ-open": {"question", "answer"},
    "BEIR corpus": {"_id", "text"},
}


def find_format(path: Path) -> str:
    """The name of a file's format: a key of `QUESTIONS` or of `CORPORA`.

    Raises:
        DataError: it cannot be read, or has none of these formats.
    """
    with reading(path), open_text(path) as text:
        head = text.read(_HEAD).lstrip()
    first = head.partition("\n")[0].strip()
    if first.split("\t") == ["id", "text", "title"]:
        return "DPR passages"
    if head.startswith("[") and re.search(r'"(supporting_facts|context)"\s*:\s*\[', head):
        return "HotpotQA"
    if head.startswith("{") and re.search(r'"Data"\s*:\s*\[', head):
        return "TriviaQA"
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict):
        for name, keys in _ROWS.items():
            if keys <= row.keys():
                return name
    raise DataError(
        f"{path} begins with {first[:60]!r}, which is no format known here: expected questions "
        f"({', '.join(QUESTIONS)}), passages ({', '.join(CORPORA)}) or a folder in the BEIR layout"
    )
