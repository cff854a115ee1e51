from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from unimoer_rag.data.datasets import BeirDataset, Question
from unimoer_rag.data.fingerprint import corpus_sha256, questions_sha256
from unimoer_rag.retrieval.types import Document

CORPUS = {"d1": Document("A tent.", source="d1", title="Tents"), "d2": Document("é", source="d2")}
QUESTIONS = [Question("q1", "what?", ("tent",), "d1"), Question("q2", "who?")]
DATASET = BeirDataset("toy", "dev", CORPUS, QUESTIONS, {"q1": {"d1": 1, "d2": 0}})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_digests_are_those_of_lines_of_json() -> None:
    rows = ['["d1","Tents","A tent."]\n', '["d2","","\\u00e9"]\n']
    assert int(corpus_sha256(DATASET), 16) == sum(int(_sha256(row), 16) for row in rows) % 2**256
    assert questions_sha256(DATASET) == _sha256(
        '[1]\n["q1","what?",["tent"],"d1",[["d1",1],["d2",0]]]\n["q2","who?",null,null,[]]\n'
    )


def test_order_and_name_do_not_count() -> None:
    turned = replace(
        DATASET,
        name="other",
        corpus=dict(reversed(CORPUS.items())),
        questions=QUESTIONS[::-1],
        qrels={"q1": {"d2": 0, "d1": 1}},
    )
    assert corpus_sha256(turned) == corpus_sha256(DATASET)
    assert questions_sha256(turned) == questions_sha256(DATASET)


@pytest.mark.parametrize(
    "changed",
    [
        replace(DATASET, questions=QUESTIONS[:1]),
        replace(DATASET, questions=[QUESTIONS[0], replace(QUESTIONS[1], answers=())]),
        replace(DATASET, qrels={"q1": {"d1": 1}}),
        replace(DATASET, relevance_level=2),
    ],
)
def test_content_counts(changed: BeirDataset) -> None:
    assert questions_sha256(changed) != questions_sha256(DATASET)
    assert corpus_sha256(changed) == corpus_sha256(DATASET)


def test_the_text_of_passages_counts() -> None:
    moved = {**CORPUS, "d1": Document("Tents\nA tent.", source="d1")}
    assert corpus_sha256(replace(DATASET, corpus=moved)) != corpus_sha256(DATASET)
