from __future__ import annotations

from collections.abc import Sequence

import pytest

from unimoer_rag.data.datasets import BeirDataset, Qrels, Question
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.citations import per_citation
from unimoer_rag.evaluation.passages import judged_relevant, relevant_among
from unimoer_rag.retrieval.types import Document

TEXTS = {"a": "The red tent.", "b": "A blue kayak.", "c": "The tent is red.", "d": "Two tents."}


def _dataset(
    qrels: Qrels | None = None, answers: Sequence[str] | None = ("red tent",), level: int = 1
) -> BeirDataset:
    corpus = {name: Document(text, source=name) for name, text in TEXTS.items()}
    known = None if answers is None else tuple(answers)
    return BeirDataset("toy", "dev", corpus, [Question("q", "Which?", known)], qrels or {}, level)


def _scores(dataset: BeirDataset, *cited: str, answer: str = "red") -> dict[str, float] | None:
    return per_citation(dataset, {"q": answer}, {"q": cited}).get("q")


@pytest.mark.parametrize(
    ("cited", "precision", "recall"),
    [
        (("a",), 100, 50),
        (("a", "b"), 50, 50),
        (("b", "d"), 0, 0),
        (("c", "a", "b", "d"), 50, 100),
        (("a", "a", "b"), 50, 50),  # once is enough
        ((), 0, 0),  # said without a source
    ],
)
def test_judged_passages_by_hand(cited: tuple[str, ...], precision: float, recall: float) -> None:
    # z is judged, but the corpus lacks it: nobody can cite it.
    dataset = _dataset({"q": {"a": 1, "c": 2, "b": 0, "z": 1}})
    assert _scores(dataset, *cited) == {"citation_precision": precision, "citation_recall": recall}


def test_the_relevance_level_of_the_data_set_counts() -> None:
    dataset = _dataset({"q": {"a": 1, "c": 2}}, level=2)
    assert _scores(dataset, "a", "c") == {"citation_precision": 50, "citation_recall": 100}


def test_without_judgements_a_passage_supports_by_holding_the_answer() -> None:
    # c has the words, but not one after the other.
    assert _scores(_dataset(), "a", "c") == {"citation_precision": 50}
    assert _scores(_dataset()) == {"citation_precision": 0}
    assert _scores(_dataset(answers=None), "a") is None


def test_an_abstention_earns_nothing() -> None:
    dataset = _dataset({"q": {"a": 1}})
    assert _scores(dataset, "a", answer="") is None
    assert _scores(_dataset(answers=()), answer="") is None
    # Nothing supports an answer to a question that has none.
    assert _scores(_dataset({"q": {"a": 1}}, answers=()), "a") == {"citation_precision": 0}


def test_answers_from_a_given_passage_cite_nothing_to_score() -> None:
    assert per_citation(_dataset({"q": {"a": 1}}), {"q": "red"}, {}) == {}


def test_a_citation_that_is_no_passage_is_refused() -> None:
    with pytest.raises(InputError, match="question 'q' cites the passage 'x'"):
        _scores(_dataset({"q": {"a": 1}}), "a", "x")


def test_relevance_is_judged_or_seen() -> None:
    judged, seen = _dataset({"q": {"b": 1, "a": 0, "z": 1}}), _dataset(answers=("red", "tents"))
    question = judged.questions[0]
    assert judged_relevant(judged, "q") == {"b"}
    assert relevant_among(judged, question, TEXTS) == {"b"}
    assert relevant_among(judged, question, ["a", "c"]) == set()
    assert relevant_among(seen, seen.questions[0], TEXTS) == {"a", "c", "d"}
