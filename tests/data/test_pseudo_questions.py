"""Questions made of documents alone."""

from __future__ import annotations

import pytest

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.data.pseudo_questions import pseudo_questions, with_pseudo_questions
from unimoer_rag.errors import DataError
from unimoer_rag.retrieval import Document

CORPUS = {
    str(at): Document(
        f"Tent number {at} goes back within {at} days. It is green. "
        f"Boots of size {at} are fitted on Mondays by the team.",
        str(at),
    )
    for at in range(9)
}


def test_a_sentence_asks_for_the_passage_it_was_taken_out_of() -> None:
    found = pseudo_questions("shop", CORPUS)
    assert len(found.questions) == len(CORPUS)
    for question in found.questions:
        (passage,) = found.qrels[question.id]
        assert question.text in CORPUS[passage].text
        assert question.text not in found.corpus[passage].text
        assert "It is green." in found.corpus[passage].text  # too short to ask with


def test_the_seed_draws_and_the_most_are_kept_to() -> None:
    few = pseudo_questions("shop", CORPUS, most=3)
    assert [q.id for q in few.questions] == [
        q.id for q in pseudo_questions("shop", CORPUS).questions[:3]
    ]
    other = pseudo_questions("shop", CORPUS, seed=1)
    assert [q.text for q in other.questions[:3]] != [q.text for q in few.questions]
    asked = {next(iter(few.qrels[q.id])) for q in few.questions}
    assert all(few.corpus[i] == CORPUS[i] for i in CORPUS if i not in asked)


def test_passages_of_a_sentence_or_two_ask_nothing() -> None:
    with pytest.raises(DataError, match="give questions"):
        pseudo_questions("shop", {"1": Document("A tent is green. It is a very large one.", "1")})


def asked(corpus: dict[str, Document]) -> BeirDataset:
    questions = [Question("q1", "which tent?"), Question("q2", "which boots?")]
    qrels = {"q1": {"1": 2}, "q2": {"2": 3}}
    return BeirDataset("shop", "train", corpus, questions, qrels, relevance_level=2)


def test_beside_questions_the_passages_stay_whole() -> None:
    given = asked(CORPUS)
    found = with_pseudo_questions(given, 1.5)
    assert found.questions[:2] == given.questions
    assert len(found.questions) == 2 + 3
    assert {i: found.corpus[i] for i in CORPUS} == CORPUS
    assert {i: found.qrels[i] for i in given.qrels} == given.qrels
    alone = pseudo_questions("shop", CORPUS, most=3)
    for question, same in zip(found.questions[2:], alone.questions, strict=True):
        assert question == same
        [(cut, grade)] = found.qrels[question.id].items()
        [whole] = alone.qrels[same.id]
        assert found.corpus[cut] == alone.corpus[whole]
        assert grade == found.relevance_level


def test_none_are_added_where_none_are_wanted_or_to_be_had() -> None:
    assert with_pseudo_questions(asked(CORPUS), 0.0) == asked(CORPUS)
    short = {i: Document("A tent is green.", i) for i in "12"}
    assert with_pseudo_questions(asked(short), 1.0) == asked(short)
