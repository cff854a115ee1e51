"""Stages as OpenTelemetry spans: whose child each is, what it tells, and that it always ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence

import pytest
from generation.faulty_server import faulty_server, status, whole
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from shop import QUESTION, Told

from unimoer_rag.errors import GenerationError, GeneratorUnavailableError
from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.generation.types import Generation, Piece
from unimoer_rag.pipelines import tracing
from unimoer_rag.pipelines.rag import Answer, RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.types import Hit

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
STAGES = ["unimoer.retrieve", "unimoer.rerank", "unimoer.select", "unimoer.generate",
          "unimoer.cite"]  # fmt: skip


class Spans:
    """What a program's own tracer provider collects; no global one is set."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("the program")

    def ended(self) -> list[ReadableSpan]:
        """In the order of their start."""
        found = self._exporter.get_finished_spans()
        return sorted(found, key=lambda span: span.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self.ended() if span.name == name)
        return span

    def children(self, parent: ReadableSpan) -> list[str]:
        return [s.name for s in self.ended() if s.parent and s.parent.span_id == _id(parent)]


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    collected = Spans()
    monkeypatch.delenv(CONTENT, raising=False)
    monkeypatch.setattr(trace, "get_tracer", collected.provider.get_tracer)
    yield collected
    collected.provider.shutdown()


class Instrumented(Told):
    """A generator whose own work is traced, as an instrumented HTTP client's is."""

    def __init__(self, spans: Spans, answers: list[str | None]) -> None:
        super().__init__(answers)
        self.spans = spans

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        with self.spans.tracer.start_as_current_span("POST"):
            return super().generate(question, hits)


def test_every_stage_is_a_span_of_the_answer(retriever: UnifiedRetriever, spans: Spans) -> None:
    generator = Instrumented(spans, ["Within fourteen days."])
    pipeline = RagPipeline(retriever, n_read=3, generator=generator)
    with spans.tracer.start_as_current_span("request"):
        answer = pipeline.answer(QUESTION)
    root = spans.one("unimoer.answer")
    assert spans.children(spans.one("request")) == ["unimoer.answer"]
    assert spans.children(root) == STAGES
    assert spans.children(spans.one("unimoer.generate")) == ["POST"]
    assert root.attributes == {
        "unimoer.hops": 1,
        "unimoer.hits": 3,
        "unimoer.abstained": False,
        "unimoer.complete": True,
    }
    found = spans.one("unimoer.retrieve").attributes
    assert found == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.request.model": retriever.model.checkpoint,
        "unimoer.mode": "dense",
        "unimoer.hits": retriever.count(),
    }
    ranked = spans.one("unimoer.rerank").attributes
    assert ranked is not None
    assert ranked["unimoer.top_score"] == pytest.approx(answer.hits[0].score)


def test_spans_last_as_long_as_the_timings_say(retriever: UnifiedRetriever, spans: Spans) -> None:
    answer = RagPipeline(retriever, threshold=0.0).answer(QUESTION)
    for stage in ("retrieve", "rerank", "read"):
        span = spans.one(f"unimoer.{stage}")
        assert span.start_time is not None
        assert span.end_time is not None
        lasted = (span.end_time - span.start_time) / 1e6
        assert lasted == pytest.approx(answer.timings[stage], rel=0.05, abs=2)
    told = spans.one("unimoer.read").attributes
    assert told == {"gen_ai.request.model": retriever.model.checkpoint}
    root = spans.one("unimoer.answer").attributes
    assert root is not None
    assert root["unimoer.confidence"] == answer.confidence


@pytest.mark.slow
def test_a_chat_models_span_names_it_and_its_prompt(
    retriever: UnifiedRetriever, spans: Spans
) -> None:
    with faulty_server() as server:
        server.answers = [whole("Within fourteen days [1].")]
        answer = RagPipeline(retriever, generator=ChatServer(server.url, "tiny")).answer(QUESTION)
    told = spans.one("unimoer.generate").attributes
    assert told == {"gen_ai.request.model": "tiny"}
    cited = spans.one("unimoer.cite").attributes
    assert cited == {"unimoer.citations": 1}
    root = spans.one("unimoer.answer").attributes
    assert root is not None
    assert root["unimoer.prompt"] == answer.prompt != ""
    assert "unimoer.confidence" not in root


def test_words_are_told_to_those_who_ask(
    retriever: UnifiedRetriever, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = RagPipeline(retriever, generator=Told(["fourteen"] * 2))

    def told() -> str:
        pipeline.answer(QUESTION)
        return "".join(span.to_json() for span in spans.ended())

    assert QUESTION not in told()
    monkeypatch.setenv(CONTENT, "span_only")
    assert told().count(QUESTION) == 2  # of the answer, and of its search
    (root,) = (s for s in spans.ended() if "unimoer.answer" in (s.attributes or {}))
    assert root.attributes is not None
    assert root.attributes["unimoer.answer"] == "fourteen"


# -- awaited --------------------------------------------------------------------------------


async def test_answers_side_by_side_keep_their_spans_apart(
    retriever: UnifiedRetriever, spans: Spans
) -> None:
    pipeline = RagPipeline(retriever, generator=Instrumented(spans, ["yes", "no"]))

    async def request(number: int) -> None:
        with spans.tracer.start_as_current_span(f"request {number}"):
            await pipeline.aanswer(QUESTION)

    await asyncio.gather(request(1), request(2))
    for number in (1, 2):
        outer = spans.one(f"request {number}")
        assert spans.children(outer) == ["unimoer.answer"]
        (root,) = (s for s in spans.ended() if s.parent and s.parent.span_id == _id(outer))
        assert spans.children(root) == STAGES
    posts = [s.parent for s in spans.ended() if s.name == "POST"]
    stages = {_id(s) for s in spans.ended() if s.name == "unimoer.generate"}
    assert {parent.span_id for parent in posts if parent} == stages


async def test_a_cancelled_answer_ends_its_spans(retriever: UnifiedRetriever, spans: Spans) -> None:
    class Slow(Told):
        async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
            await asyncio.sleep(60)
            raise AssertionError("nobody waits so long")

    task = asyncio.create_task(RagPipeline(retriever, generator=Slow([])).aanswer(QUESTION))
    while "unimoer.select" not in {span.name for span in spans.ended()}:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for name in ("unimoer.generate", "unimoer.answer"):
        span = spans.one(name)
        assert span.attributes == {"unimoer.cancelled": True}
        assert span.status.is_unset


# -- streamed -------------------------------------------------------------------------------


def test_a_stream_is_current_only_while_it_works(retriever: UnifiedRetriever, spans: Spans) -> None:
    pipeline = RagPipeline(retriever, generator=Instrumented(spans, ["one two"]))
    with spans.tracer.start_as_current_span("request") as outer:
        for _ in pipeline.stream(QUESTION):
            assert trace.get_current_span() is outer
    root = spans.one("unimoer.answer")
    assert spans.children(spans.one("request")) == ["unimoer.answer"]
    assert spans.children(root) == STAGES
    assert spans.children(spans.one("unimoer.generate")) == ["POST"]


async def test_an_awaited_stream_too(retriever: UnifiedRetriever, spans: Spans) -> None:
    pipeline = RagPipeline(retriever, generator=Instrumented(spans, ["one two"]))
    with spans.tracer.start_as_current_span("request") as outer:
        async for _ in pipeline.astream(QUESTION):
            assert trace.get_current_span() is outer
    assert spans.children(spans.one("unimoer.answer")) == STAGES
    assert spans.children(spans.one("unimoer.generate")) == ["POST"]


async def test_a_stream_closed_early_ends_its_spans(
    retriever: UnifiedRetriever, spans: Spans
) -> None:
    generator = Told(["one two", "one two"])
    pipeline = RagPipeline(retriever, generator=generator)
    awaited = pipeline.astream(QUESTION)
    assert await anext(awaited) == "one"
    await awaited.aclose()
    assert generator.closed == 1
    blocking = pipeline.stream(QUESTION)
    assert next(blocking) == "one"
    blocking.close()
    assert generator.closed == 2
    for name in ("unimoer.generate", "unimoer.answer"):
        ended = [span for span in spans.ended() if span.name == name]
        assert [span.attributes for span in ended] == [{"unimoer.cancelled": True}] * 2
        assert all(span.status.is_unset for span in ended)
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_who_has_the_answer_need_not_ask_for_more(
    retriever: UnifiedRetriever, spans: Spans
) -> None:
    pieces = RagPipeline(retriever, generator=Told(["one"])).stream(QUESTION)
    assert next(pieces) == "one"
    assert isinstance(next(pieces), Answer)
    root = spans.one("unimoer.answer").attributes
    assert root is not None
    assert "unimoer.cancelled" not in root


# -- failing --------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_fails_is_recorded_where_it_fails(retriever: UnifiedRetriever, spans: Spans) -> None:
    with faulty_server() as server:
        server.answers = [status(503)]
        pipeline = RagPipeline(retriever, generator=ChatServer(server.url, retries=0))
        with pytest.raises(GeneratorUnavailableError):
            pipeline.answer(QUESTION)
        with pytest.raises(GeneratorUnavailableError):
            list(pipeline.stream(QUESTION))
    for name in ("unimoer.generate", "unimoer.answer"):
        for span in (span for span in spans.ended() if span.name == name):
            assert not span.status.is_ok
            assert "GeneratorUnavailableError" in (span.status.description or "")
            (event,) = span.events
            assert event.name == "exception"
    assert sum(span.name == "unimoer.generate" for span in spans.ended()) == 2
    assert all(span.status.is_unset for span in spans.ended() if span.name == "unimoer.rerank")


def test_what_an_error_says_is_told_to_those_who_ask(
    retriever: UnifiedRetriever, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may quote a question, a passage or an answer, and so may its cause."""

    class Quoting(Told):
        def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
            try:
                raise ValueError(f"cannot make sense of {question}")
            except ValueError as error:
                raise GenerationError(f"{question}: {hits[0].text}, {hits[0].source}") from error

        def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
            yield "four"
            self.generate(question, hits)

    pipeline = RagPipeline(retriever, generator=Quoting([]))

    def told() -> str:
        with pytest.raises(GenerationError):
            pipeline.answer(QUESTION)
        with pytest.raises(GenerationError):
            list(pipeline.stream(QUESTION))
        return "".join(span.to_json() for span in spans.ended())

    said = told()
    assert said.count("GenerationError") >= 8  # on two spans of each answer
    for words in (QUESTION, "fourteen", "shop/returns.md", "cannot make sense", "four"):
        assert words not in said
    for span in spans.ended():
        for event in span.events:
            assert event.attributes == {"exception.type": "unimoer_rag.errors.GenerationError"}
    monkeypatch.setenv(CONTENT, "true")
    assert "cannot make sense of" in told()


def test_without_opentelemetry_stages_are_timed_all_the_same(
    retriever: UnifiedRetriever, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    tracing._opentelemetry.cache_clear()
    try:
        pipeline = RagPipeline(retriever, generator=Told(["one", "one two"]))
        answer = pipeline.answer(QUESTION)
        *pieces, last = pipeline.stream(QUESTION)
    finally:
        tracing._opentelemetry.cache_clear()
    assert answer.timings["retrieve"] > 0
    assert pieces == ["one", "two"]
    assert isinstance(last, Answer)
    assert last.timings.keys() == answer.timings.keys()
    assert spans.ended() == []


def test_a_stream_without_its_whole_answer_is_an_error(retriever: UnifiedRetriever) -> None:
    from unimoer_rag.errors import GenerationError

    class Halved(Told):
        def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
            yield "half"

    with pytest.raises(GenerationError, match="Halved ended its stream without"):
        list(RagPipeline(retriever, generator=Halved([])).stream(QUESTION))
