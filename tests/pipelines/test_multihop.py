"""More hops than one: the best passages lead to others, and pairs that answer together are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import Told

from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.multihop import NAMED, choose, leads, names
from unimoer_rag.pipelines.rag import Answer, RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.types import Document, Hit, Passage

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "Where does the head of the returns desk work?"
DESK, HOLM, BAKERY = "desk.md", "holm.md", "bakery.md"
# What is read: the bakery has a head who works too, until it is known who is meant.
ONE, TWO = [DESK, BAKERY], [DESK, HOLM]
DOCUMENTS = [
    Document("The head of the returns desk is Ada Holm.", DESK, title="Returns desk"),
    Document("Her room is in the old lighthouse.", HOLM, title="Ada Holm"),
    Document("The head of the bakery works in Leeds.", BAKERY, title="Bakery"),
    Document("Parcels go to the depot.", "depot.md", title="Depot"),
]


@pytest.fixture(scope="module")
def staff(frozen: UniMoER) -> Iterator[UnifiedRetriever]:
    """Passages of which the second is found only by whom the first names."""
    with UnifiedRetriever(frozen, rerank=10) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def sources(answer: Answer) -> list[str]:
    return [hit.source for hit in answer.hits]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", set()),
        ("nothing is named here", set()),
        ("In the year of 1916", {"1916", "In the year of 1916"}),
        ("\u201cMoon River\u201d, by Ada's band.", {"Moon River", "Moon", "River"}),
        ("see Ada's", set()),  # too short
        ("He met \u00c9lodie Faure\u2019s", {"\u00c9lodie", "Faure", "\u00c9lodie Faure"}),
        ("\u6771\u4eac\u306f\u65e5\u672c\u306b\u3042\u308b", set()),
    ],
)
def test_names_begin_and_end_with_a_capital(text: str, found: set[str]) -> None:
    assert names(text) >= found
    assert bool(names(text)) == bool(found)


@given(st.text(max_size=60))
def test_names_are_parts_of_the_text(text: str) -> None:
    plain = " ".join(text.split())
    for name in names(text):
        assert name in plain
        assert len(name.split()) <= 8
        assert len(name) > 3


def test_long_spans_are_no_names() -> None:
    words = [f"Word{at}" for at in range(20)]
    found = names(" ".join(words))
    assert " ".join(words[:8]) in found
    assert max(len(name.split()) for name in found) == 8


def test_a_leader_leads_to_what_it_names_and_not_to_itself() -> None:
    def hit(title: str, text: str) -> Hit:
        return Hit(Passage(text, title, title=title))

    hits = [hit("Ada Holm", "Ada Holm was born in Leeds."), hit("Leeds", "A town."), hit("", "x")]
    assert leads(hits[:2], hits).tolist() == [[False, True, False], [False, False, False]]


def by_definition(values: list[list[float]], named: list[list[bool]], n: int) -> list[int]:
    pairs = {
        (a, b): values[a][b] for a in range(len(values)) for b in range(len(values[0])) if a != b
    }
    mean = sum(pairs.values()) / len(pairs)
    deviation = (sum((value - mean) ** 2 for value in pairs.values()) / len(pairs)) ** 0.5
    worth = {(a, b): v / max(deviation, 1e-6) + 3.0 * named[a][b] for (a, b), v in pairs.items()}
    read: list[int] = []
    for pair in sorted(worth, key=lambda pair: -worth[pair]):
        read += [place for place in pair if place not in read]
    return read[:n]


@given(st.integers(1, 3), st.integers(0, 6), st.integers(1, 6), st.integers(0, 999))
def test_the_best_pairs_are_chosen(leaders: int, others: int, n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (leaders, leaders + others)
    values = random.normal(size=shape).astype(np.float32)
    named = random.random(shape) < 0.2
    assert NAMED == 3.0
    chosen = choose(values, named, n)
    if shape == (1, 1):
        assert chosen == [0]
    else:
        assert chosen == by_definition(values.tolist(), named.tolist(), n)
        assert len(chosen) == min(n, shape[1])


def test_the_best_passage_leads_to_whom_it_names(staff: UnifiedRetriever) -> None:
    one = RagPipeline(staff, n_read=2, generator=Told(["Ada Holm"])).answer(QUESTION)
    assert sources(one) == ONE
    generator = Told(["In the lighthouse."])
    two = RagPipeline(staff, n_read=2, generator=generator, hops=2).answer(QUESTION)
    assert sources(two) == TWO
    assert generator.read == [TWO]  # nothing is generated between hops
    assert one.timings.keys() == two.timings.keys()
    assert all(hit.rerank is not None for hit in two.hits)


async def test_every_way_to_ask_follows(staff: UnifiedRetriever) -> None:
    generator = Told(["the lighthouse"] * 3)
    pipeline = RagPipeline(staff, n_read=2, generator=generator, hops=2)
    answers = [await pipeline.aanswer(QUESTION)]
    for pieces in (
        list(pipeline.stream(QUESTION)),
        [piece async for piece in pipeline.astream(QUESTION)],
    ):
        assert pieces[:-1] == ["the", "lighthouse"]
        assert isinstance(pieces[-1], Answer)
        answers.append(pieces[-1])
    assert generator.read == [TWO] * 3
    assert all(sources(answer) == TWO for answer in answers)


def test_kept_token_states_pair_alike(frozen: UniMoER, staff: UnifiedRetriever) -> None:
    hits = staff.search(QUESTION, k=4)
    expected = staff.pair_hits(QUESTION, hits, 3)
    with UnifiedRetriever(frozen, rerank=10, token_states="float16") as kept:
        kept.add(DOCUMENTS)
        found = kept.pair_hits(QUESTION, hits, 3)
    assert expected is not None
    assert found is not None
    assert found.result().shape == (3, 4)
    np.testing.assert_allclose(found.result(), expected.result(), atol=2e-2)


def test_without_token_states_the_places_of_both_count(
    staff: UnifiedRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnifiedRetriever, "pair_hits", lambda *args: None)
    answer = RagPipeline(staff, n_read=2, generator=Told(["x"]), hops=2).answer(QUESTION)
    assert sources(answer) == TWO


def test_untitled_passages_are_found_by_their_leaders_text(frozen: UniMoER) -> None:
    with UnifiedRetriever(frozen, rerank=2) as retriever:
        retriever.add([Document(d.text, d.source) for d in DOCUMENTS])
        answer = RagPipeline(retriever, n_read=2, generator=Told(["x"]), hops=2).answer(QUESTION)
    assert answer.hits[0].source == DESK


def test_it_ends_where_a_hop_changes_nothing(
    staff: UnifiedRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[int] = []
    pair_hits = UnifiedRetriever.pair_hits

    def counted(self: UnifiedRetriever, query: str, hits: list[Hit], first: int) -> object:
        followed.append(len(hits))
        return pair_hits(self, query, hits, first)

    monkeypatch.setattr(UnifiedRetriever, "pair_hits", counted)
    answer = RagPipeline(staff, n_read=2, generator=Told(["x"]), hops=9).answer(QUESTION)
    assert sources(answer) == TWO
    assert followed == [4, 4]


def test_filters_hold_on_every_hop(staff: UnifiedRetriever) -> None:
    generator = Told(["x"])
    pipeline = RagPipeline(staff, generator=generator, hops=2)
    pipeline.answer(QUESTION, filters={"source": [DESK, "depot.md"]})
    assert [sorted(read) for read in generator.read] == [["depot.md", DESK]]


def test_an_empty_index_has_no_hops(frozen: UniMoER) -> None:
    with UnifiedRetriever(frozen) as retriever:
        assert RagPipeline(retriever, hops=3).answer(QUESTION).text is None


def test_the_documented_figures_are_the_measured_ones() -> None:
    measured = json.loads((ROOT / "results" / "multihop.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    macro = measured["gain_of_a_name"]["macro"]
    assert measured["gain_of_a_name"]["ships"] == NAMED
    # Any gain of two and more does as well.
    assert macro[str(NAMED)] > max(macro.values()) - 0.01
    for name, figures in measured["sets"].items():
        one, two = figures["ways"]["one hop"], figures["ways"]["two hops"]
        gain = figures["second_hop_against_first"]["all"]
        low, high = (f"{100 * end:.1f}" for end in gain["interval"])
        cells = [f"{one['all']:.3f}", f"{two['all']:.3f}", rf"{100 * gain['difference']:.1f} "]
        assert re.search(rf"^\| {name}[ ,].*\| {' . '.join(cells)}\[{low}, {high}\]", page, re.M)
        assert gain["interval"][0] > 0
