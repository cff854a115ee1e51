from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from unimoer_rag.data.datasets import BeirDataset, Question
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.details import details, found_relevant, ranks, score_histograms, worst
from unimoer_rag.evaluation.plain import plain
from unimoer_rag.evaluation.results import Details
from unimoer_rag.retrieval.types import Document

CORPUS = {f"d{n}": Document(f"Text {n} about tents. " * 20, f"d{n}", f"T{n}") for n in range(8)}
DATASET = BeirDataset(
    "toy",
    "dev",
    CORPUS,
    [Question(f"q{n}", f"Question {n}?", (f"text {n}",)) for n in range(4)],
    {"q0": {"d3": 1}, "q1": {"d0": 2, "d7": 1}, "q2": {"d5": 0}, "q3": {"d6": 1}},
)
FIRST = {
    "q0": {"d1": 3.0, "d2": 2.0, "d3": 1.0},
    "q1": {"d0": 3.0, "d1": 2.0},
    "q2": {"d1": 1.0},
}
SECOND = {
    "q0": {"d3": 9.0, "d1": 4.0, "d2": 3.0},
    "q1": {"d1": 5.0, "d0": 1.0},
    "q2": {"d1": 2.0},
}


def test_ranks_of_the_first_relevant_passage_by_hand() -> None:
    relevant = found_relevant(DATASET, FIRST)
    # q2 has nothing to find; what q3 has was not found.
    assert relevant == {"q0": {"d3"}, "q1": {"d0"}, "q3": set()}
    assert ranks(relevant, FIRST, SECOND) == {"q0": (3, 1), "q1": (1, 2), "q3": (None, None)}
    assert ranks(relevant, FIRST, {})["q0"] == (3, None)


def test_where_nobody_judged_the_answer_tells() -> None:
    unjudged = replace(DATASET, qrels={})
    assert found_relevant(unjudged, FIRST)["q1"] == {"d1"}
    assert found_relevant(unjudged, FIRST)["q3"] == set()


def test_histograms_count_every_score_once() -> None:
    found = score_histograms(found_relevant(DATASET, FIRST), FIRST, SECOND, depth=2)
    first, second = found["first"], found["second"]
    assert (first.edges[0], first.edges[-1]) == (1.0, 3.0)
    assert (sum(first.relevant), sum(first.other)) == (2, 3)
    assert (first.relevant[0], first.relevant[-1]) == (1, 1)
    # Two of each question were reranked: the third has no score of that stage.
    assert (sum(second.relevant), sum(second.other)) == (2, 2)
    assert second.edges[0] == 1.0
    assert score_histograms({}, FIRST, SECOND, depth=2) == {}


@given(
    st.dictionaries(
        st.sampled_from(["d0", "d1", "d2", "d3"]), st.floats(-1e3, 1e3, allow_nan=False), min_size=1
    )
)
def test_histograms_hold_any_scores(scores: dict[str, float]) -> None:
    found = score_histograms({"q": {"d0"}}, {"q": scores}, {}, depth=0)["first"]
    assert sum(found.relevant) == ("d0" in scores)
    assert sum(found.relevant) + sum(found.other) == len(scores)
    assert len(found.edges) == len(found.other) + 1


ROWS = {
    "answers": {f"q{n}": {"f1": f, "em": 0.0} for n, f in enumerate((50.0, 0.0, 100.0, 0.0))},
    "rerank": {"q0": {"nDCG@10": 0.2}, "q1": {"nDCG@10": 0.1}},
    "retrieval": {"q0": {"nDCG@10": 0.0}, "q1": {"nDCG@10": 0.9}},
}


def test_the_worst_questions_and_what_was_found() -> None:
    found = worst(
        DATASET,
        FIRST,
        SECOND,
        rows=ROWS,
        n=3,
        predictions={"q1": "tents", "q3": ""},
        citations={"q1": ["d1"]},
        depth=1,
        width=30,
    )
    assert [one.id for one in found] == ["q1", "q3", "q0"]
    first = found[0]
    assert (first.measure, first.score, first.answer) == ("f1", 0.0, "tents")
    assert (first.question, first.accepted) == ("Question 1?", ["text 1"])
    # The best first, and the relevant one that was not found.
    assert [p.id for p in first.passages] == ["d1", "d0", "d7"]
    assert asdict(first.passages[0]) == {
        "id": "d1",
        "title": "T1",
        "text": "Text 1 about tents. Text 1 ab…",
        "before": 2,
        "after": 1,
        "first_score": 2.0,
        "second_score": 5.0,
        "relevance": None,
        "relevant": False,
        "cited": True,
    }
    assert [p.second_score for p in first.passages[1:]] == [None, None]  # below the depth
    assert (first.passages[1].relevance, first.passages[1].relevant) == (2, True)
    assert (first.passages[2].before, first.passages[2].after) == (None, None)
    assert found[1].answer == ""  # abstained
    assert found[2].answer is None


def test_what_went_right_is_not_among_the_worst() -> None:
    shown = worst(DATASET, FIRST, SECOND, rows=ROWS, n=10)
    assert [one.id for one in shown] == ["q1", "q3", "q0"]  # all but the one with F1 100
    right = {"rerank": {"q0": {"nDCG@10": 1.0}, "q1": {"nDCG@10": 0.9999}}}
    assert [one.id for one in worst(DATASET, FIRST, SECOND, rows=right, n=10)] == ["q1"]


def test_without_answers_the_ranking_tells() -> None:
    def asked(*parts: str) -> list[tuple[str, str]]:
        rows = {part: ROWS[part] for part in parts}
        return [(w.id, w.measure) for w in worst(DATASET, FIRST, SECOND, rows=rows, n=1)]

    assert asked("rerank", "retrieval") == [("q1", "nDCG@10")]
    assert asked("retrieval") == [("q0", "nDCG@10")]
    assert worst(DATASET, FIRST, SECOND, rows={}, n=5) == []
    with pytest.raises(InputError, match="worst -1"):
        worst(DATASET, FIRST, SECOND, rows=ROWS, n=-1)


def test_details_are_json_that_reads_back() -> None:
    found = details(DATASET, FIRST, SECOND, rows=ROWS, depth=50, n_worst=2)
    read = TypeAdapter(Details).validate_json(json.dumps(plain(found)))
    assert read.ranks["q0"] == (3, 1)
    assert read.scores.keys() == {"first", "second"}
    assert [one.id for one in read.worst] == ["q1", "q3"]
    # Texts of the data set only where they were asked for.
    assert details(DATASET, FIRST, SECOND, rows=ROWS, depth=50).worst == []
    assert details(DATASET, {}, {}, rows={"answers": ROWS["answers"]}, depth=50).ranks == {}
