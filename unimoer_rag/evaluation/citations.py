"""Whether the passages that answers cite are the right ones.

Precision and recall of citations follow ALCE (Gao et al., "Enabling Large Language Models to
Generate Text with Citations", EMNLP 2023), with the data set's judgements in place of a model's
opinion of what supports what:

| question | precision | recall |
|---|---|---|
| judged | share of the cited passages that are relevant | share of the relevant that are cited |
| not judged | share of the cited passages that hold an accepted answer | none |
| without an answer to find | 0: no passage supports what was said | none |
| abstained from | none | none |

Every question counts alike (a macro average), so that each has values of its own to resample and to
compare, and one that cites many passages does not weigh more. An answer that cites nothing has 0 in
both. An abstention says nothing that needs a source, so it has neither, and gains nothing:
`abstention` tells how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.answers import has_answer
from unimoer_rag.evaluation.passages import judged_relevant, relevant_among

__all__ = ["CITATION_MEASURES", "per_citation"]

CITATION_MEASURES = ("citation_precision", "citation_recall")
"""What `per_citation` measures."""


def per_citation(
    dataset: BeirDataset,
    predictions: Mapping[str, str],
    citations: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, float]]:
    """Score the citations of every question that was answered.

    Args:
        dataset: with judgements, accepted answers or both.
        predictions: question id -> answer, "" where it abstained.
        citations: question id -> ids of the passages cited, of which one cited twice counts once.
            A question that is missing was answered from a given passage, and is left out.

    Returns:
        Question id -> `citation_precision` and `citation_recall`, each 0 to 100. Questions, and
        measures of a question, that have no value are left out.

    Raises:
        InputError: a citation names a passage that the corpus does not hold.
    """
    rows: dict[str, dict[str, float]] = {}
    for question in dataset.questions:
        if predictions.get(question.id) and question.id in citations:
            cited = set(citations[question.id])
            _check_known(dataset, question, cited)
            if row := _scores(dataset, question, cited):
                rows[question.id] = row
    return rows


def _scores(dataset: BeirDataset, question: Question, cited: set[str]) -> dict[str, float]:
    if question.answers is not None and not has_answer(
        question.answers, rules=dataset.answer_rules
    ):
        return {"citation_precision": 0.0}
    relevant = judged_relevant(dataset, question.id)
    if not relevant and question.answers is None:
        return {}
    good = len(relevant_among(dataset, question, cited))
    row = {"citation_precision": 100 * good / len(cited) if cited else 0.0}
    if relevant:
        row["citation_recall"] = 100 * good / len(relevant)
    return row


def _check_known(dataset: BeirDataset, question: Question, cited: set[str]) -> None:
    unknown = next((doc_id for doc_id in sorted(cited) if doc_id not in dataset.corpus), None)
    if unknown is not None:
        raise InputError(
            f"question {question.id!r} cites the passage {unknown!r}, which the corpus of "
            f"{dataset.name!r} does not hold: give ids of its documents"
        )
