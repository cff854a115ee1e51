"""The HTML page of a result: what it shows, and that nothing in a result can get out of it."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from unimoer_rag.errors import MissingExtraError
from unimoer_rag.evaluation.report import render_page
from unimoer_rag.evaluation.report.page import page_template
from unimoer_rag.evaluation.results import Result

# Markup that would act, in and out of attributes, styles and scripts.
HOSTILE = "</style></title><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"
_VOID = {"meta", "link", "br", "img", "rect", "polyline", "hr", "input"}


def _passage(**changes: Any) -> dict[str, Any]:
    passage = {
        "id": "d1",
        "title": "Tents",
        "text": "A tent costs 20 pounds.",
        "before": 3,
        "after": 1,
        "first_score": 0.25,
        "second_score": 4.5,
        "relevance": 1,
        "relevant": True,
        "cited": True,
    }
    return {**passage, **changes}


def _result(**changes: Any) -> dict[str, Any]:
    means = {"nDCG@10": 0.5, "R@100": 0.75}
    ends = {
        name: {"low": value - 0.1, "high": value + 0.1, "n": 4} for name, value in means.items()
    }
    answers = {"from": "the whole pipeline", "abstained": 1, "n": 4, "em": 25.0, "f1": 40.0}
    result = {
        "dataset": "micro",
        "split": "dev",
        "n": 4,
        "passages": 1234,
        "corpus_sha256": "c" * 64,
        "questions_sha256": "a" * 64,
        "system": "unimoer",
        "checkpoint": "unimoer-minilm",
        "checkpoint_digest": "d" * 64,
        "first_stage": "dense",
        "rerank_depth": 50,
        "retrieval": means,
        "rerank": {"nDCG@10": 0.625, "R@100": 0.75},
        "answers": {**answers, "prompt": "p" * 64},
        "ragas": {
            "faithfulness": {
                "mean": 0.75, "low": 0.5, "high": 1.0, "n": 2, "failed": 7, "skipped": 1,
                "reasons": {"the judgement is nan": 7},
            }
        },
        "intervals": {
            "retrieval": ends,
            "rerank": ends,
            "answers": {"f1": {"low": 30.0, "high": 50.0, "n": 4}},
        },
        "seed": 3,
        "latency_percentiles_ms": {
            "answer": {"p50": 100.0, "p95": 200.0, "p99": 400.0},
            "answer/read": {"p50": 50.0, "p95": 60.0, "p99": 70.0},
        },
        "questions_per_second": {"answer": 2.5},
        "memory_mb": {"model": 58.1, "peak": 900.0},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "per_question": {},
        "details": {
            "ranks": {"q0": [3, 1], "q1": [1, 2], "q2": [1, 1], "q3": [None, None]},
            "scores": {"first": {"edges": [0.0, 0.5, 1.0], "relevant": [1, 3], "other": [8, 2]}},
            "worst": [
                {
                    "id": "q1",
                    "question": "How much is a tent?",
                    "measure": "f1",
                    "score": 0.0,
                    "answer": "ten",
                    "accepted": ["20 pounds", "20"],
                    "passages": [_passage(), _passage(id="d2", title="", relevant=False)],
                }
            ],
        },
    }  # fmt: skip
    return {**result, **changes}


def _page(**changes: Any) -> str:
    return render_page(Result.from_dict(json.loads(json.dumps(_result(**changes)))))


class _Read(HTMLParser):
    """Elements, attributes and text; fails where tags do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.slow
def test_shows_what_was_measured() -> None:
    text = _Read(_page()).text
    for words in (
        "unimoer on micro",
        "1,234 passages",
        "nDCG@10 0.5000 0.4000 to 0.6000 0.6250",
        "F1 40.00 30.00 to 50.00 4",
        "1 of 4 questions were abstained from",
        "faithfulness 0.7500 0.5000 to 1.0000 2 7 1",
        "7: the judgement is nan",
        "the first relevant passage moved up for 1, stayed for 1 and moved down for 1; for 1 none",
        "read 50.0 60.0 70.0",
        "0.500 to 1.000 3 2",
        "How much is a tent?",
        "accepted 20 pounds · 20",
        "rank 3 (score 0.250) → 1 (score 4.500)",
        "900 MB",
        "seed 3",
        *("c" * 64, "a" * 64, "d" * 64, "p" * 64),
    ):
        assert words in text, words


def test_needs_nothing_but_itself() -> None:
    page = _page()
    read = _Read(page)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(read.tags)
    assert not re.search(r"https?:|//|url\(|@import", page)
    assert not [a for a in read.attributes if a[1] in ("src", "href") or a[1].startswith("on")]
    policy = [v for tag, name, v in read.attributes if tag == "meta" and name == "content"]
    assert "default-src 'none'; style-src 'unsafe-inline'" in policy


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": HOSTILE, "split": HOSTILE, "system": HOSTILE, "checkpoint": HOSTILE},
        {"first_stage": HOSTILE, "rerank_depth": HOSTILE, "command": HOSTILE},
        {"retrieval": {HOSTILE: 0.5}, "versions": {HOSTILE: HOSTILE}, "memory_mb": {HOSTILE: 1}},
        {"corpus_sha256": HOSTILE, "questions_sha256": HOSTILE, "checkpoint_digest": HOSTILE},
        {"answers": {"from": HOSTILE, "abstained": 0, "n": 4, "f1": 1.0, "prompt": HOSTILE}},
        {"questions_per_second": {HOSTILE: 1.0}},
        {"latency_percentiles_ms": {HOSTILE: {"p50": 1, "p95": 1, "p99": 1}}},
        {
            "ragas": {
                HOSTILE: {
                    "mean": None, "low": None, "high": None, "n": 0, "failed": 1, "skipped": 0,
                    "reasons": {HOSTILE: 1},
                }
            }
        },
        {
            "details": {
                "scores": {HOSTILE: {"edges": [0, 1], "relevant": [1], "other": [0]}},
                "worst": [
                    {
                        "id": HOSTILE, "question": HOSTILE, "measure": HOSTILE, "score": 0,
                        "answer": HOSTILE, "accepted": [HOSTILE],
                        "passages": [_passage(id=HOSTILE, title=HOSTILE, text=HOSTILE)],
                    }
                ],
            }
        },
    ],
    ids=lambda changes: "-".join(changes),
)  # fmt: skip
def test_no_text_becomes_markup(changes: dict[str, Any]) -> None:
    plain, hostile = _Read(_page()), _Read(_page(**changes))
    assert not {"script", "img"} & set(hostile.tags)
    assert hostile.tags["style"] == hostile.tags["title"] == 1
    names = {(tag, name) for tag, name, _ in hostile.attributes}
    assert names <= {(tag, name) for tag, name, _ in plain.attributes}
    # What was given is there, letter by letter; of a stage, what follows the first slash.
    assert HOSTILE.partition("/")[2] in "".join(hostile.words)


def test_characters_that_do_things_are_shown() -> None:
    """Escape sequences, C1 controls and what turns a line around, wherever a text stands."""
    odd = "a\x00b\x1b[31mc\x9bd\x85e\u202ef\u2066g\u2028h\x7f"
    page = _page(dataset=odd, versions={odd: odd}, command=odd, first_stage=odd)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", page)
    assert "a\u2400b\u241b[31mc" in page


def test_parts_that_were_not_measured_are_left_out() -> None:
    bare = _page(
        rerank={}, answers={}, ragas={}, intervals={}, latency_percentiles_ms={}, details={}
    )
    text = _Read(bare).text
    assert "nDCG@10 0.5000" in text
    for heading in ("Answers", "ragas", "What reranking moved", "Latency", "Scores", "went worst"):
        assert heading not in text


def test_shows_what_the_figures_depend_on() -> None:
    text = " ".join(
        _Read(
            _page(
                reader={"checkpoint": "another"}, pipeline={"hops": 2}, limit={"questions": 4},
                threshold=0.25, ragas_judge="the judge",
            )
        ).words
    )  # fmt: skip
    for words in ('"another"', '"hops": 2', '"questions": 4', "0.25", "the judge"):
        assert words in text, words


def test_questions_without_answers_are_told_apart_where_there_are_some() -> None:
    scores = {"from": "x", "abstained": 0, "n": 4, "f1": 40.0, "has_answer_f1": 40.0}
    assert "answerable questions" not in _page(answers={**scores, "n_no_answer": 0})
    some = _page(answers={**scores, "n_no_answer": 1, "no_answer_f1": 100.0})
    assert "F1, answerable questions" in some
    assert "rightly abstained" in some


def test_without_reranking_nothing_moved() -> None:
    details = {"ranks": {"q0": [3, None], "q1": [None, None]}}
    assert "moved up" not in _Read(_page(details=details)).text


def test_plots_can_be_read_without_being_seen() -> None:
    read = _Read(_page())
    graphics = read.tags["svg"]
    told = [name for tag, name, _ in read.attributes if tag == "svg" and name == "aria-label"]
    hidden = [a for a in read.attributes if a == ("td", "aria-hidden", "true")]
    assert graphics == len(told) + len(hidden)  # the hidden ones repeat numbers of their row
    headings = [value for tag, name, value in read.attributes if (tag, name) == ("h2", "id")]
    labels = [value for tag, name, value in read.attributes if name == "aria-labelledby"]
    assert sorted(headings) == sorted(labels)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'unimoer-rag\[eval\]'"):
        page_template()
