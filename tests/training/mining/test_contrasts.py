"""Questions with their answers and what only looks like them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import Document
from unimoer_rag.training import contrasts_of

TEXTS = {
    "a": "refunds take five working days",
    "b": "refunds take longer on holidays, some days",
    "c": "refunds take ten working days",
    "d": "refunds",
    "e": "the library opens at nine",
}
LONG = Question("q1", "how many working days do refunds take", ("five",))
OPEN = Question("q2", "when does the library open on working days", ("nine",))


@pytest.fixture
def dataset() -> BeirDataset:
    corpus = {at: Document(text, at) for at, text in TEXTS.items()}
    qrels = {"q1": {"a": 1, "c": 1, "d": 0}, "q2": {"e": 1}}
    return BeirDataset("tiny", "dev", corpus, [LONG, OPEN], qrels)


def test_the_best_by_words_that_do_not_answer(dataset: BeirDataset) -> None:
    one = replace(dataset, questions=[LONG])
    [contrast] = contrasts_of(one, questions=5, negatives=5)
    assert contrast.query == LONG.text
    assert contrast.positive == TEXTS["a"]
    assert contrast.negatives == (TEXTS["b"], TEXTS["d"])  # c is judged, e shares no word
    [fewer] = contrasts_of(one, questions=5, negatives=1)
    assert fewer.negatives == (TEXTS["b"],)


def test_a_passage_with_an_answer_is_no_negative(dataset: BeirDataset) -> None:
    answered = replace(LONG, answers=("five", "holidays"))
    [contrast] = contrasts_of(replace(dataset, questions=[answered]), questions=5, negatives=5)
    assert contrast.negatives == (TEXTS["d"],)


def test_questions_are_drawn_by_seed(dataset: BeirDataset) -> None:
    other = replace(OPEN, id="q3", text="library refunds")
    judged = {**dataset.qrels, "q3": {"e": 1}}
    many = replace(dataset, questions=[LONG, other], qrels=judged)
    drawn = [contrasts_of(many, questions=1, negatives=1, seed=seed) for seed in range(8)]
    assert drawn == [contrasts_of(many, questions=1, negatives=1, seed=seed) for seed in range(8)]
    assert {contrast.query for [contrast] in drawn} == {LONG.text, other.text}


def test_progress_is_told(dataset: BeirDataset) -> None:
    told: list[tuple[str, int, int]] = []
    contrasts_of(dataset, questions=1, negatives=1, on_progress=lambda *done: told.append(done))
    assert told[-1] == ("passages", 5, 5)


@pytest.mark.parametrize(("questions", "negatives"), [(0, 1), (1, 0)])
def test_numbers_are_checked(dataset: BeirDataset, questions: int, negatives: int) -> None:
    with pytest.raises(InputError, match="expected 1 or more"):
        contrasts_of(dataset, questions=questions, negatives=negatives)
