"""RagPipeline over a real index and the frozen MiniLM.

Its reading head is untrained: spans are arbitrary, what is around them is not.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from generation.faulty_server import faulty_server, stream, whole
from shop import DOCUMENTS, QUESTION

from unimoer_rag.errors import InputError
from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import NO_ANSWER, Answer, RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever


@pytest.fixture(scope="module")
def answer(retriever: UnifiedRetriever) -> Answer:
    return RagPipeline(retriever, n_read=4, threshold=0.0).answer(QUESTION)


@pytest.mark.slow
def test_the_best_citation_is_the_answer(answer: Answer) -> None:
    assert answer.question == QUESTION
    assert len(answer.hits) == 4
    assert answer.hits[0].source == "shop/returns.md"
    assert "fourteen days" in answer.hits[0].text
    assert answer.citations
    best = answer.citations[0]
    assert (answer.text, answer.confidence) == (best.text, best.confidence)
    assert str(answer) == f"{best.text}  [{best.hit.source}:{best.start}-{best.end}]"


def test_offsets_are_exact_in_the_document(answer: Answer) -> None:
    found = [*answer.citations, *answer.candidates]
    assert any(citation.hit.passage.start > 0 for citation in found)
    for citation in found:
        assert citation.text.strip() == citation.text != ""
        document = DOCUMENTS[citation.hit.source]
        assert document.text[citation.start : citation.end] == citation.text


def test_confidence_is_a_probability_and_sorts(answer: Answer) -> None:
    values = [citation.confidence for citation in (*answer.citations, *answer.candidates)]
    assert values == sorted(values, reverse=True)
    assert all(0 < value <= 1 for value in values)
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)


def test_stages_are_timed(answer: Answer) -> None:
    assert list(answer.timings) == ["retrieve", "rerank", "select", "read", "cite", "total"]
    stages = sum(answer.timings.values()) - answer.timings["total"]
    # What lies between the stages is next to nothing.
    assert stages <= answer.timings["total"] + 0.05
    assert answer.timings["total"] == pytest.approx(stages, rel=0.1, abs=5)
    assert all(answer.timings[stage] > 0 for stage in ("retrieve", "rerank", "read"))


def test_an_answer_is_json(answer: Answer) -> None:
    kept = json.loads(json.dumps(answer.to_dict()))
    assert kept.keys() == {
        "question", "answer", "confidence", "citations", "candidates", "hits", "timings_ms",
        "prompt", "complete", "cut_by", "standalone",
    }  # fmt: skip
    assert kept["answer"] == answer.text
    assert [c["text"] for c in kept["citations"]] == [c.text for c in answer.citations]
    assert kept["citations"][0]["passage_id"] == answer.citations[0].hit.id
    assert [c["text"] for c in kept["candidates"]] == [c.text for c in answer.candidates]
    # Each passage once, and every one that is named.
    ids = [hit["id"] for hit in kept["hits"]]
    assert len(ids) == len(set(ids))
    assert {c["passage_id"] for c in kept["citations"] + kept["candidates"]} <= set(ids)


def test_nothing_confident_is_no_answer(retriever: UnifiedRetriever) -> None:
    answer = RagPipeline(retriever, threshold=1.0).answer(QUESTION)
    assert (answer.text, answer.confidence, list(answer.citations)) == (None, 0.0, [])
    assert str(answer) == NO_ANSWER == "no answer found"
    assert len(answer.hits) == 4  # what was read is still told
    assert answer.to_dict()["answer"] is None


def test_the_threshold_cuts_between_citations(retriever: UnifiedRetriever, answer: Answer) -> None:
    values = [citation.confidence for citation in (*answer.citations, *answer.candidates)]
    assert len(values) > 1
    cut = (values[0] + values[1]) / 2
    stricter = RagPipeline(retriever, n_read=4, threshold=cut).answer(QUESTION)
    assert [citation.text for citation in stricter.citations] == [answer.text]
    assert list(stricter.candidates) == []


def test_other_answers_are_no_citations(answer: Answer) -> None:
    assert answer.candidates
    assert all(citation.text == answer.text for citation in answer.citations)
    assert all(citation.text != answer.text for citation in answer.candidates)


@pytest.mark.slow
def test_async_equals_sync(retriever: UnifiedRetriever, answer: Answer) -> None:
    pipeline = RagPipeline(retriever, n_read=4, threshold=0.0)

    async def both() -> tuple[Answer, Answer]:
        return await asyncio.gather(pipeline.aanswer(QUESTION), pipeline.aanswer("Where is lunch?"))

    first, second = asyncio.run(both())
    assert second.question == "Where is lunch?"
    assert (first.text, first.timings.keys()) == (answer.text, answer.timings.keys())
    assert [hit.id for hit in first.hits] == [hit.id for hit in answer.hits]
    assert [(c.text, c.start, c.end) for c in first.citations] == [
        (c.text, c.start, c.end) for c in answer.citations
    ]
    assert first.confidence == pytest.approx(answer.confidence, abs=1e-5)
    assert second.text == pipeline.answer("Where is lunch?").text


def test_filters_narrow_what_is_read(retriever: UnifiedRetriever) -> None:
    pipeline = RagPipeline(retriever, threshold=0.0)
    for answer in (
        pipeline.answer(QUESTION, filters={"team": "office"}),
        asyncio.run(pipeline.aanswer(QUESTION, filters={"team": "office"})),
    ):
        assert {hit.source for hit in answer.hits} == {"office/lunch.md"}
    assert pipeline.answer(QUESTION, filters={"team": "nobody"}).hits == []


# -- what is read ---------------------------------------------------------------------------


def test_only_what_is_good_enough_is_read(retriever: UnifiedRetriever, answer: Answer) -> None:
    scores = [hit.score for hit in answer.hits]
    cut = (scores[0] + scores[1]) / 2
    pipeline = RagPipeline(retriever, n_read=4, threshold=0.0, min_score=cut)
    assert [hit.id for hit in pipeline.answer(QUESTION).hits] == [answer.hits[0].id]
    nothing = RagPipeline(retriever, min_score=1.01).answer(QUESTION)
    assert (nothing.text, nothing.hits) == (None, [])


@pytest.mark.slow
def test_passages_fill_the_tokens_there_are(retriever: UnifiedRetriever, answer: Answer) -> None:
    sizes = [retriever.model.rows.count(hit.passage.content) for hit in answer.hits]
    for budget, n in ((sum(sizes), 4), (sum(sizes) - 1, 3), (sizes[0] + sizes[1], 2), (1, 1)):
        pipeline = RagPipeline(retriever, n_read=4, max_tokens=budget)
        found = pipeline.answer(QUESTION).hits
        assert [hit.id for hit in found] == [hit.id for hit in answer.hits[:n]]


# -- who answers ----------------------------------------------------------------------------


def test_the_readers_stream_is_its_answer(retriever: UnifiedRetriever, answer: Answer) -> None:
    text, whole = RagPipeline(retriever, n_read=4, threshold=0.0).stream(QUESTION)
    assert isinstance(whole, Answer)
    assert text == whole.text == answer.text
    assert whole.timings.keys() == answer.timings.keys()
    (only,) = RagPipeline(retriever, threshold=1.0).stream(QUESTION)
    assert isinstance(only, Answer)
    assert only.text is None


@pytest.mark.slow
async def test_a_chat_model_words_the_answer(retriever: UnifiedRetriever) -> None:
    with faulty_server() as server:
        server.answers = [whole("Within fourteen days [1]."), stream("Within ", "fourteen [1]")]
        pipeline = RagPipeline(retriever, n_read=2, generator=ChatServer(server.url))
        answer = pipeline.answer(QUESTION)
        assert (answer.text, answer.confidence) == ("Within fourteen days [1].", None)
        assert [c.hit for c in answer.citations] == [answer.hits[0]]
        assert {"retrieve", "rerank", "select", "generate", "cite"} < answer.timings.keys()
        assert str(answer).startswith("Within fourteen days [1].  [shop/returns.md:")
        assert json.loads(json.dumps(answer.to_dict()))["prompt"] == answer.prompt != ""
        *pieces, last = pipeline.stream(QUESTION)
        assert pieces == ["Within ", "fourteen [1]"]
        assert isinstance(last, Answer)
        assert last.text == "Within fourteen [1]"
        awaited = [piece async for piece in pipeline.astream(QUESTION)]
        assert awaited[:-1] == pieces
        server.answers = [whole("NO ANSWER")]
        assert str(await pipeline.aanswer(QUESTION)) == NO_ANSWER
    assert answer.hits[0].text in server.requests[0]["messages"][1]["content"]


@pytest.mark.slow
def test_without_passages_no_model_is_asked(retriever: UnifiedRetriever) -> None:
    with faulty_server() as server:
        server.answers = [whole("from memory")]
        pipeline = RagPipeline(retriever, generator=ChatServer(server.url))
        assert pipeline.answer(QUESTION, filters={"team": "nobody"}).text is None
        assert server.requests == []


def test_an_answer_without_citations_stands_alone() -> None:
    assert str(Answer("why?", "Because.", None)) == "Because."


def test_an_empty_index_has_no_answer(frozen: UniMoER) -> None:
    with UnifiedRetriever(frozen) as empty:
        pipeline = RagPipeline(empty)
        for answer in (pipeline.answer(QUESTION), asyncio.run(pipeline.aanswer(QUESTION))):
            assert (answer.text, list(answer.hits)) == (None, [])
            assert str(answer) == NO_ANSWER


@pytest.mark.slow
def test_without_reranking_the_reader_alone_is_believed(frozen: UniMoER) -> None:
    with UnifiedRetriever(frozen, rerank=0) as retriever:
        retriever.add(DOCUMENTS.values())
        answer = RagPipeline(retriever, threshold=0.0).answer(QUESTION)
        assert all(hit.rerank is None for hit in answer.hits)
        readings = {
            hit.id: 1 - retriever.engine.read(QUESTION, [hit.text])[0].doubt for hit in answer.hits
        }
    assert answer.citations
    for citation in answer.citations:
        assert citation.confidence == pytest.approx(readings[citation.hit.id], abs=1e-5)


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(retriever: UnifiedRetriever, question: str) -> None:
    with pytest.raises(InputError, match="empty"):
        RagPipeline(retriever).answer(question)


@pytest.mark.parametrize(
    "options",
    [
        {"n_read": 0},
        {"max_tokens": 0},
        {"threshold": -0.1},
        {"threshold": 1.1},
        {"threshold": float("nan")},
        {"min_score": float("nan")},
        {"hops": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(
    retriever: UnifiedRetriever, options: dict[str, float]
) -> None:
    (name,) = options
    with pytest.raises(InputError, match=f"{name} is .*expected"):
        RagPipeline(retriever, **options)  # type: ignore[arg-type]
