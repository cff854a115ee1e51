"""Rows into examples: which columns hold what, whoever wrote them.

| ours | also read as | holds |
|---|---|---|
| `query` | `anchor`, `question` | the query |
| `positive` | `pos`, `positives` | a passage that answers, or a list of them, best first |
| `negative` | `neg`, `negatives`, `negative_1` ... | passages that do not: a string or a list |
| `positive_scores` | `pos_scores` | a teacher's, one for each positive |
| `negative_scores` | `neg_scores` | a teacher's, one for each negative |
| `documents` | `passages` | passages to score, in place of positives and negatives |
| `scores` | `teacher_scores` | a teacher's, one for each document |
| `labels` | `grades` | how relevant each document is; the highest grade answers |
| `answers` | `answer` | what the query asks for, in words: a string or a list |
| `text` | `sentence`, `premise`, `sentence1` | the text to classify |
| `pair` | `hypothesis`, `sentence2` | the second text of a pair |
| `label` | | its class |

The first names are those of sentence-transformers (`anchor`, `positive`, `negative`), FlagEmbedding
(`query`, `pos`, `neg`, `pos_scores`, `neg_scores`) and natural language inference (`premise`,
`hypothesis`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unimoer_rag.data.examples import Labelled
from unimoer_rag.data.lines import shown
from unimoer_rag.retrieval import clean_text

__all__ = ["Example", "check_columns", "read_example", "read_labelled"]

_NAMES: Mapping[str, tuple[str, ...]] = {
    "query": ("query", "anchor", "question"),
    "positive": ("positive", "pos", "positives"),
    "negative": ("negative", "neg", "negatives"),
    "positive_scores": ("positive_scores", "pos_scores"),
    "negative_scores": ("negative_scores", "neg_scores"),
    "documents": ("documents", "passages"),
    "scores": ("scores", "teacher_scores"),
    "labels": ("labels", "grades"),
    "answers": ("answers", "answer"),
    "text": ("text", "sentence", "premise", "sentence1"),
    "pair": ("pair", "hypothesis", "sentence2"),
    "label": ("label",),
}
_MORE_NEGATIVES = re.compile(r"negative_\d+")


@dataclass(frozen=True, slots=True)
class Example:
    """A query with its passages, as one row has them.

    Attributes:
        query: what is asked.
        texts: the passages that answer, best first, then those that do not, best first; none
            comes twice.
        n_positive: how many of them answer.
        scores: of the first passage and of those that do not answer; empty without scores.
        answers: what is asked for, in words.
    """

    query: str
    texts: tuple[str, ...]
    n_positive: int
    scores: tuple[float, ...] = ()
    answers: tuple[str, ...] = ()


def check_columns(columns: Mapping[str, str]) -> None:
    """Refuse a name of ours that there is not.

    Raises:
        ValueError: names it and those there are.
    """
    for name in columns:
        if name not in _NAMES:
            raise ValueError(f"columns: unknown {name!r}, expected one of {', '.join(_NAMES)}")


def read_example(
    row: Mapping[str, Any], columns: Mapping[str, str], *, scored: bool = False
) -> Example:
    """The example of a row of triples or of scored groups.

    Args:
        row: as its file has it.
        columns: our names -> those of the row, where they are not among the known ones.
        scored: scores are required.

    Raises:
        ValueError: what is wrong with the row, what was expected, and the remedy.
    """
    query = _text(row, "query", columns)
    answers = tuple(_texts(row, "answers", columns))
    name, _ = _find(row, "documents", columns)
    weighed = _scored(row, columns) if name else _contrasted(row, columns)
    if scored and any(score is None for _, score, _ in weighed):
        raise ValueError(
            "it has no scores; expected scores of documents, or pos_scores and neg_scores; or give "
            "the source the format triples"
        )
    # A passage that comes twice counts once, and as an answer if it is one anywhere.
    first: dict[str, _Weight] = {}
    for found in sorted(weighed, key=lambda found: not found[2]):
        first.setdefault(found[0], found)
    weighed = list(first.values())
    good = [(text, score) for text, score, answers_it in weighed if answers_it]
    rest = [(text, score) for text, score, answers_it in weighed if not answers_it]
    if rest and rest[0][1] is not None:
        rest.sort(key=lambda found: -(found[1] or 0.0))
    scores = [score for _, score in (good[0], *rest) if score is not None]
    return Example(query, tuple(t for t, _ in good + rest), len(good), tuple(scores), answers)


def read_labelled(row: Mapping[str, Any], columns: Mapping[str, str]) -> Labelled:
    """The example of a row of labelled texts.

    Raises:
        ValueError: what is wrong with the row, what was expected, and the remedy.
    """
    text = _text(row, "text", columns)
    name, pair = _find(row, "pair", columns)
    if pair is not None and not _is_text(pair):
        raise ValueError(f"{name} is {shown(pair)}; expected a text, or nothing")
    name, label = _find(row, "label", columns)
    if not isinstance(label, str | int) or (isinstance(label, str) and not _is_text(label)):
        raise ValueError(f"{name or 'label'} is {shown(label)}; expected the name of a class")
    return Labelled(text, pair and clean_text(pair), clean_text(str(label)))


_Weight = tuple[str, float | None, bool]  # a passage, its score, whether it answers
_Weighed = list[_Weight]


def _contrasted(row: Mapping[str, Any], columns: Mapping[str, str]) -> _Weighed:
    """Positives and negatives, with their scores where they have any."""
    positives = _texts(row, "positive", columns)
    if not positives:
        raise ValueError(
            f"it has no positive among {', '.join(row) or 'no columns'}; expected a passage that "
            "answers; map another name with columns: {positive: NAME}"
        )
    negatives = _texts(row, "negative", columns)
    negatives += [
        text
        for key in sorted(filter(_MORE_NEGATIVES.fullmatch, row), key=lambda k: int(k[9:]))
        if row[key] is not None
        for text in _strings(key, row[key])
    ]
    good, bad = (
        _numbers(row, f"{kind}_scores", len(texts), columns)
        for kind, texts in (("positive", positives), ("negative", negatives))
    )
    if (good is None) != (bad is None) and negatives:
        raise ValueError(
            "it has scores of only its positives or only its negatives; expected both or none"
        )
    found: _Weighed = []
    for texts, scores, answers_it in ((positives, good, True), (negatives, bad, False)):
        found += [(t, scores[i] if scores else None, answers_it) for i, t in enumerate(texts)]
    return found


def _scored(row: Mapping[str, Any], columns: Mapping[str, str]) -> _Weighed:
    """Documents with scores or grades; the best graded answer, or else the best scored."""
    documents = _texts(row, "documents", columns)
    scores = _numbers(row, "scores", len(documents), columns)
    labels = _numbers(row, "labels", len(documents), columns)
    best = labels or scores
    if not documents or best is None:
        raise ValueError(
            "it has no documents, or neither scores nor labels of them; expected at least one "
            "document, and a score or label for each"
        )
    top = max(best)
    if labels and top <= 0:
        raise ValueError("no document has a label above 0; expected one that answers")
    first = best.index(top)
    scored = scores or best
    found: _Weighed = []
    for at, text in enumerate(documents):
        found.append((text, scored[at], best[at] == top if labels else at == first))
    return found


def _find(row: Mapping[str, Any], ours: str, columns: Mapping[str, str]) -> tuple[str | None, Any]:
    """The name and value of a column of ours; None where the row has none."""
    if ours in columns:
        if columns[ours] not in row:
            raise ValueError(
                f"it has no {columns[ours]!r}, which columns gives for {ours}; its columns are "
                f"{', '.join(row)}"
            )
        return columns[ours], row[columns[ours]]
    name = next((name for name in _NAMES[ours] if row.get(name) is not None), None)
    return name, None if name is None else row[name]


def _text(row: Mapping[str, Any], ours: str, columns: Mapping[str, str]) -> str:
    name, value = _find(row, ours, columns)
    if name is None:
        raise ValueError(
            f"it has no {ours} among {', '.join(row) or 'no columns'}; expected one of "
            f"{', '.join(_NAMES[ours])}; map another name with columns: {{{ours}: NAME}}"
        )
    if not _is_text(value):
        raise ValueError(f"{name} is {shown(value)}; expected a text")
    return clean_text(value)


def _texts(row: Mapping[str, Any], ours: str, columns: Mapping[str, str]) -> list[str]:
    name, value = _find(row, ours, columns)
    return [] if name is None else _strings(name, value)


def _strings(name: str, value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(map(_is_text, texts)):
        raise ValueError(f"{name} is {shown(value)}; expected a text or a list of texts")
    return [clean_text(text) for text in texts]


def _is_text(value: Any) -> bool:
    """Whether a value is a string in which a word could stand, once it is cleaned."""
    return isinstance(value, str) and bool(clean_text(value).strip())


def _numbers(
    row: Mapping[str, Any], ours: str, n: int, columns: Mapping[str, str]
) -> list[float] | None:
    name, value = _find(row, ours, columns)
    if name is None or value == []:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not all(map(_is_finite, numbers)):
        raise ValueError(f"{name} is {shown(value)}; expected a list of finite numbers")
    if len(numbers) != n:
        raise ValueError(f"{name} has {len(numbers)} numbers for {n} passages; expected one each")
    return [float(x) for x in numbers]


def _is_finite(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False
