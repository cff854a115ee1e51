"""The reader: answers of the pipeline's own reader, with their places in Haystack's documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from haystack import Document, ExtractedAnswer
from haystack_helpers import EXACT, QUERY, close, passages
from haystack_integrations.components.readers.unimoer import UniMoERReader
from haystack_integrations.components.retrievers.unimoer import UniMoERRetriever

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.errors import InputError
from unimoer_rag.generation import THRESHOLD


@pytest.mark.slow
def test_answers_are_those_of_the_pipeline(handbook: UnifiedRetriever) -> None:
    pipeline = RagPipeline(handbook, n_read=3, threshold=0.0)
    documents = UniMoERRetriever(handbook).run(QUERY)["documents"]
    reader = UniMoERReader(**EXACT, score_threshold=0.0)
    answers = reader.run(QUERY, documents)["answers"]
    expected = pipeline.answer(QUERY)
    quoted = [*expected.citations, *expected.candidates]
    assert [answer.data for answer in answers] == [one.text for one in quoted]
    assert answers[0].data == expected.text
    close([answer.score for answer in answers], [one.confidence for one in quoted])
    for answer, one in zip(answers, quoted, strict=True):
        start, offset = answer.document.meta["split_idx_start"], answer.document_offset
        assert (start + offset.start, start + offset.end) == (one.start, one.end)


def test_an_answer_is_the_text_at_its_offset() -> None:
    documents = passages()
    [answer] = UniMoERReader(**EXACT).run(QUERY, documents)["answers"]
    assert answer.document is documents[2]
    assert answer.data == "14 days"
    offset = answer.document_offset
    assert answer.document.content[offset.start : offset.end] == answer.data
    assert answer.query == QUERY
    assert 0.9 < answer.score <= 1
    assert ExtractedAnswer.from_dict(answer.to_dict()) == answer


def test_where_nothing_answers_there_is_no_answer() -> None:
    reader = UniMoERReader(**EXACT)
    assert UniMoERReader().score_threshold == THRESHOLD
    assert reader.run("Who won the 1998 World Cup?", passages()) == {"answers": []}
    assert reader.run(QUERY, []) == {"answers": []}
    assert reader.run(QUERY, [Document(content=None)]) == {"answers": []}


def test_top_k_and_least_confidence_are_the_components_or_a_calls() -> None:
    more = [*passages(), Document(content="A refund takes two weeks.")]
    reader = UniMoERReader(**EXACT, top_k=1)
    both = UniMoERReader(**EXACT).run(QUERY, more)["answers"]
    assert [answer.data for answer in both] == ["14 days", "two weeks"]
    assert both[0].score >= both[1].score
    assert reader.run(QUERY, more)["answers"] == both[:1]
    assert reader.run(QUERY, more, top_k=2)["answers"] == both
    assert reader.run(QUERY, more, score_threshold=1.0) == {"answers": []}


async def test_awaited_it_does_the_same_and_blocks_nothing(while_held: Callable[..., Any]) -> None:
    reader = UniMoERReader(**EXACT)
    reader.warm_up()
    [found] = await while_held(reader.run_async(QUERY, passages()))
    assert [a.data for a in found["answers"]] == ["14 days"]


@pytest.mark.parametrize("threshold", [1.5, -0.1, "high"])
def test_a_confidence_that_is_none_is_refused(threshold: Any) -> None:
    with pytest.raises(InputError, match="threshold is"):
        UniMoERReader(score_threshold=threshold)
    with pytest.raises(InputError, match="threshold is"):
        UniMoERReader(**EXACT).run(QUERY, passages(), score_threshold=threshold)
