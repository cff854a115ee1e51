"""Pairs, answer spans and reading examples."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unimoer_rag.data import ReadSource, Sources, beir_set, find_spans
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.data.unanswerable import sentences
from unimoer_rag.errors import DataError


@pytest.mark.parametrize(
    ("answers", "text", "found"),
    [
        (["art"], "party art, art", ["art", "art"]),  # on word boundaries where there are any
        (["art"], "party", ["art"]),  # else anywhere
        (["$5"], "for $5 or $50", ["$5"]),
        (["U.S."], "the U.S. and U.S.", ["U.S.", "U.S."]),
        (["a", "b"], "b a", ["b", "a"]),
        (["missing", ""], "text", []),
    ],
)
def test_find_spans(answers: list[str], text: str, found: list[str]) -> None:
    spans = find_spans(answers, text)
    assert [text[start:end] for start, end in spans] == found
    assert list(spans) == sorted(spans)


def test_word_boundaries_are_what_they_are() -> None:
    assert find_spans(["art"], "party art, art") == ((6, 9), (11, 14))


def test_sources_are_loaded_by_name(toy_data: Path) -> None:
    assert Sources(toy_data).beir("toy").split == "train"
    with pytest.raises(DataError, match="other"):
        Sources(toy_data).beir("other")
    with pytest.raises(DataError, match="toy inside it"):
        Sources(toy_data / "nowhere").beir("toy")


def test_a_source_without_contexts_is_refused(toy: BeirDataset) -> None:
    bare = replace(toy, questions=[replace(q, context=None) for q in toy.questions])
    with pytest.raises(DataError, match="toy: no question has answers and a context"):
        ReadSource(bare, unanswerable=0.3, crop=0.5, crop_words=20)


def test_questions_whose_passage_lacks_the_answer_teach_no_abstaining(toy: BeirDataset) -> None:
    answered = next(q for q in toy.questions if q.answers)
    lost = replace(answered, id="lost", answers=("no such words", ""))
    source = ReadSource(
        replace(toy, questions=[lost, answered]), unanswerable=0.0, crop=0.0, crop_words=20
    )
    assert len(source) == 1
    assert source.draw(0, random.Random(0)).spans
    with pytest.raises(DataError, match="a context in which one stands"):
        ReadSource(replace(toy, questions=[lost]), unanswerable=0.0, crop=0.0, crop_words=20)


def test_mined_passages_are_drawn_as_ones_that_do_not_answer(toy: BeirDataset) -> None:
    asked = next(q for q in toy.questions if q.answers and q.context in toy.corpus)
    one = replace(toy, questions=[asked])
    hard = {asked.text: ["A passage that was mined."]}
    how = {"unanswerable": 1.0, "crop": 0.0, "crop_words": 20, "hard": hard}
    drawn = [ReadSource(one, mined=1.0, **how).draw(0, random.Random(at)) for at in range(20)]
    assert {example.passage for example in drawn} == {"A passage that was mined."}
    assert all(example.question == asked.text and not example.spans for example in drawn)
    half = [ReadSource(one, mined=0.5, **how).draw(0, random.Random(at)) for at in range(40)]
    assert 8 < sum(example.passage == "A passage that was mined." for example in half) < 32


def test_without_mined_passages_the_draws_are_those_of_older_recipes(toy: BeirDataset) -> None:
    how = {"unanswerable": 0.7, "crop": 0.5, "crop_words": 20}
    plain = ReadSource(toy, **how)
    other = ReadSource(toy, mined=0.5, hard={"another question": ["a passage"]}, **how)
    for at in range(len(plain)):
        assert plain.draw(at, random.Random(at)) == other.draw(at, random.Random(at))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    index=st.integers(0, 23),
    seed=st.integers(0, 2**32),
    unanswerable=st.sampled_from([0.0, 0.5, 1.0]),
    crop=st.sampled_from([0.0, 0.5, 1.0]),
    crop_words=st.integers(10, 60),
)
def test_draws(
    toy: BeirDataset, index: int, seed: int, unanswerable: float, crop: float, crop_words: int
) -> None:
    source = ReadSource(toy, unanswerable=unanswerable, crop=crop, crop_words=crop_words)
    example = source.draw(index, random.Random(seed))
    assert example == source.draw(index, random.Random(seed))

    question = toy.questions[index]
    texts = [document.text for document in toy.corpus.values()]
    answers = question.answers or ()
    if example.spans:
        assert example.question == question.text
        assert example.passage in toy.corpus[question.context or ""].text
        # Every span is exactly an answer, wherever the crop has put it.
        assert {example.passage[s:e] for s, e in example.spans} <= set(answers)
        assert example.spans == find_spans(answers, example.passage)
    else:
        assert unanswerable > 0
        # The question was changed, or the passage no longer holds its answer.
        assert example.question != question.text or not find_spans(answers, example.passage)
    if crop == 0.0 and unanswerable == 0.0:
        assert example.passage in texts
    if crop == 1.0 and len(sentences(example.passage)) > 1:
        assert example.passage.count(" ") < crop_words


def test_the_share_of_unanswerable_draws_is_the_one_asked_for(toy: BeirDataset) -> None:
    source = ReadSource(toy, unanswerable=0.3, crop=0.5, crop_words=30)
    draws = [source.draw(i % len(source), random.Random(f"{i}")) for i in range(600)]
    assert 0.22 < sum(not draw.spans for draw in draws) / 600 < 0.36


def test_a_set_of_beir_has_every_passage_and_the_best_graded_positive(toy: BeirDataset) -> None:
    found = beir_set(toy)
    assert list(found.texts) == [document.content for document in toy.corpus.values()]
    assert [group.query for group in found.groups] == [q.text for q in toy.questions]
    assert found.groups[3].answers == toy.questions[3].answers
    again = [
        *toy.questions[:2],
        replace(toy.questions[0], id="q9", text=toy.questions[0].text.upper()),
    ]
    graded = replace(
        toy,
        questions=again,
        qrels={"q0": {"d5": 1, "d3": 3, "d1": 0}, "q1": {"d2": 1}, "q9": {"d7": 2}},
        relevance_level=2,
    )
    first, second = beir_set(graded).groups  # the second question has nothing of grade 2
    assert (first.positive, second.positive) == (3, 7)
    assert first.relevant == second.relevant == (3, 5, 7)
    with pytest.raises(DataError, match="toy: none of 24 questions has a relevant passage"):
        beir_set(replace(toy, qrels={"q0": {"elsewhere": 1}}))
