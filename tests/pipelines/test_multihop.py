"""More hops than one: what was read leads to the next passages, and ends where it leads nowhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Told

from unimoer_rag.generation.types import Generation
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.multihop import expand, join
from unimoer_rag.pipelines.rag import Answer, RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.types import Document, Hit, Passage

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "Where does the head of the returns desk work?"
DESK, OFFICE, BAKERY = "desk.md", "office.md", "bakery.md"
# What each hop reads: the bakery has a head who works too, until it is known who is meant.
HOPS = [[DESK, BAKERY], [DESK, OFFICE]]


@pytest.fixture(scope="module")
def staff(frozen: UniMoER) -> Iterator[UnifiedRetriever]:
    """Passages of which the second is found only by whom the first names."""
    with UnifiedRetriever(frozen, rerank=10) as retriever:
        retriever.add(
            [
                Document("The head of the returns desk is Ada Holm.", DESK),
                Document("Ada Holm's room is in the old lighthouse.", OFFICE),
                Document("The head of the bakery works in Leeds.", BAKERY),
                Document("Parcels go to the depot.", "depot.md"),
            ]
        )
        yield retriever


@pytest.mark.parametrize(
    ("read", "query"),
    [
        ("Ada Holm", "who? Ada Holm"),
        ("Ada Holm [1], of Leeds [2, 3].", "who? Ada Holm, of Leeds."),
        (" [1] ", None),
        (None, None),
    ],
)
def test_the_question_goes_on_with_what_was_read(read: str | None, query: str | None) -> None:
    assert expand("who?", Generation(read)) == query


@pytest.mark.parametrize(
    ("n", "joined"), [(1, "cbef"), (2, "acbef"), (4, "abcef"), (5, "abcef"), (6, "abdcef")]
)
def test_the_better_half_of_what_was_read_stays(n: int, joined: str) -> None:
    def hits(sources: str) -> list[Hit]:
        return [Hit(Passage(source, source)) for source in sources]

    assert "".join(hit.source for hit in join(hits("abd"), hits("cbef"), n=n)) == joined


def test_what_was_read_leads_to_the_next_passage(staff: UnifiedRetriever) -> None:
    generator = Told(["Ada Holm [1].", "In the lighthouse."])
    answer = RagPipeline(staff, n_read=2, generator=generator, hops=2).answer(QUESTION)
    assert generator.read == HOPS
    assert answer.text == "In the lighthouse."
    assert [hit.source for hit in answer.hits] == HOPS[1]
    one = RagPipeline(staff, n_read=2, generator=Told(["Ada Holm [1]."])).answer(QUESTION)
    assert [hit.source for hit in one.hits] == HOPS[0]
    assert one.timings.keys() == answer.timings.keys()


async def test_every_way_to_ask_follows(staff: UnifiedRetriever) -> None:
    generator = Told(["Ada Holm", "the lighthouse"] * 3)
    pipeline = RagPipeline(staff, n_read=2, generator=generator, hops=2)
    answers = [await pipeline.aanswer(QUESTION)]
    for pieces in (
        list(pipeline.stream(QUESTION)),
        [piece async for piece in pipeline.astream(QUESTION)],
    ):
        # Only the last hop's words are told.
        assert pieces[:-1] == ["the", "lighthouse"]
        assert isinstance(pieces[-1], Answer)
        answers.append(pieces[-1])
    assert generator.read == HOPS * 3
    assert {answer.text for answer in answers} == {"the lighthouse"}
    assert all([hit.source for hit in answer.hits] == HOPS[1] for answer in answers)


async def test_it_ends_where_an_answer_leads_nowhere_new(staff: UnifiedRetriever) -> None:
    generator = Told(["Ada Holm"] * 8)
    pipeline = RagPipeline(staff, n_read=1, generator=generator, hops=9)
    assert pipeline.answer(QUESTION).text == "Ada Holm"
    assert len(generator.read) == 2
    assert (await pipeline.aanswer(QUESTION)).text == "Ada Holm"
    text, _ = pipeline.stream(QUESTION)
    assert text == "Ada Holm"  # whole: it was known before
    assert [piece async for piece in pipeline.astream(QUESTION)][:-1] == [text]
    assert len(generator.read) == 8


async def test_it_ends_where_an_answer_was_had_two_hops_before(staff: UnifiedRetriever) -> None:
    generator = Told(["Ada Holm", "Leeds", "Ada Holm", "Leeds"] * 2)
    pipeline = RagPipeline(staff, n_read=1, generator=generator, hops=9)
    assert pipeline.answer(QUESTION).text == "Ada Holm"
    assert len(generator.read) == 3
    generator.answers = ["Ada Holm", "Leeds", "Ada Holm", "Leeds"]
    assert (await pipeline.aanswer(QUESTION)).text == "Ada Holm"
    assert len(generator.read) == 6


async def test_no_answer_is_not_followed(staff: UnifiedRetriever) -> None:
    generator = Told([None] * 4)
    pipeline = RagPipeline(staff, generator=generator, hops=2)
    assert pipeline.answer(QUESTION).text is None
    assert (await pipeline.aanswer(QUESTION)).text is None
    for (only,) in (
        list(pipeline.stream(QUESTION)),
        [piece async for piece in pipeline.astream(QUESTION)],
    ):
        assert isinstance(only, Answer)
        assert only.text is None
    assert len(generator.read) == 4


def test_filters_hold_on_every_hop(staff: UnifiedRetriever) -> None:
    generator = Told(["Ada Holm", "nothing"])
    pipeline = RagPipeline(staff, n_read=1, generator=generator, hops=2)
    pipeline.answer(QUESTION, filters={"source": [DESK, "depot.md"]})
    assert generator.read == [[DESK], [DESK]]


def test_the_documented_figures_are_the_measured_ones() -> None:
    measured = json.loads((ROOT / "results" / "multihop.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    for name, figures in measured["sets"].items():
        for hops, row in figures["hops"].items():
            cells = [f"{row['recall']:.3f}", f"{row['all']:.3f}", f"{row['f1']:.1f}"]
            assert re.search(rf"^\| {name}.* \| {hops} \| {' . '.join(cells)} \|$", page, re.M)
        one, two = figures["hops"]["1"], figures["hops"]["2"]
        assert two["recall"] > one["recall"]
        assert two["all"] > one["all"]
