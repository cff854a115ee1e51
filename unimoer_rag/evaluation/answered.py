"""What was answered, scored: answers and their citations, question by question and in the mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unimoer_rag.data import BeirDataset
from unimoer_rag.evaluation.answers import empty_golds, per_answer, score_answers
from unimoer_rag.evaluation.citations import CITATION_MEASURES, per_citation
from unimoer_rag.evaluation.judged import Sample
from unimoer_rag.evaluation.measure_answers import Answers
from unimoer_rag.evaluation.passages import judged_relevant
from unimoer_rag.evaluation.result_parts import Figure
from unimoer_rag.evaluation.summary import PerQuestion, means

__all__ = ["answer_means", "answer_rows", "samples"]


def answer_rows(answered: Answers, dataset: BeirDataset) -> PerQuestion:
    """The scores of every answer and of its citations, 0 to 100.

    `em` and `f1` are those of the best guess where every question has an answer, as the field
    measures them; `given_em` and `given_f1` count an abstention as wrong.
    """
    golds, rules = dataset.golds, dataset.answer_rules
    scores = per_answer(answered.predictions, golds, rules=rules)
    given = per_answer(answered.given, golds, rules=rules)
    cited = per_citation(dataset, answered.given, answered.citations)
    return {
        qid: {
            "em": row["em"],
            "f1": row["f1"],
            "given_em": given[qid]["em"],
            "given_f1": given[qid]["f1"],
            "abstention": given[qid]["abstention"],
            **cited.get(qid, {}),
        }
        for qid, row in scores.items()
    }


def answer_means(answered: Answers, dataset: BeirDataset, rows: PerQuestion) -> dict[str, Figure]:
    """Where the answers come from, how many there are and what they score, in percent.

    `empty_golds` names the questions with accepted answers that normalise to nothing, and
    `n_empty_golds` counts those answers; see `answer_rules`.

    Args:
        answered: the answers.
        dataset: their questions.
        rows: what `answer_rows` found.
    """
    rules = dataset.answer_rules
    scores = score_answers(answered.predictions, dataset.golds, rules=rules).to_dict()
    abstained = sum(not text for text in answered.given.values())
    empty = empty_golds(dataset.golds, rules=rules)
    added = ("given_em", "given_f1", "abstention", *CITATION_MEASURES)
    found = {**scores, **{name: value for name, value in means(rows).items() if name in added}}
    return {
        "from": answered.origin,
        "rules": rules,
        "prompt": answered.prompt or None,
        "abstained": abstained,
        "n_empty_golds": sum(map(len, empty.values())),
        "empty_golds": list(empty),
        **{k: round(v, 2) if isinstance(v, float) else v for k, v in found.items()},
    }


def samples(answered: Answers, dataset: BeirDataset) -> Mapping[str, Sample]:
    """What there is to judge of every answer: question id -> sample."""

    def texts(doc_ids: Iterable[str]) -> list[str]:
        return [dataset.content(doc_id) for doc_id in doc_ids]

    return {
        question.id: Sample(
            question=question.text,
            answer=answered.given[question.id],
            references=question.answers or (),
            contexts=texts(answered.read.get(question.id, ())),
            reference_contexts=texts(sorted(judged_relevant(dataset, question.id))),
        )
        for question in dataset.questions
        if question.id in answered.given
    }
