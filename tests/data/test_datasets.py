from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unimoer_rag.data import write_submission
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation import Question, load_beir, load_run
from unimoer_rag.retrieval.types import Document

DOCUMENTS = [
    {"_id": "d1", "title": "Tents", "text": "A tent sleeps two."},
    {"_id": "d2", "text": "A kayak floats."},
    {"_id": "d3", "title": None, "text": ""},
]
QUESTIONS = [
    {"_id": "q1", "text": "Who sleeps?", "answers": ["two"], "context": "d1"},
    {"_id": "q2", "text": "Who flies?", "answers": [], "context": "d2"},
    {"_id": "q3", "text": "What floats?"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq3\td2\t1\nq3\td1\t0\n"


def jsonl(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(path: Path, text: str, zipped: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


def build(folder: Path, *, questions: str = "queries.dev.jsonl", zipped: bool = False) -> Path:
    write(folder / "corpus.jsonl", jsonl(DOCUMENTS), zipped)
    write(folder / questions, jsonl(QUESTIONS), zipped)
    write(folder / "qrels" / "dev.tsv", QRELS, zipped)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_load_reads_plain_and_gzipped_folders(tmp_path: Path, zipped: bool) -> None:
    dataset = load_beir(build(tmp_path / "shop", zipped=zipped), "dev")
    assert (dataset.name, dataset.split) == ("shop", "dev")
    assert dataset.corpus["d1"] == Document("A tent sleeps two.", source="d1", title="Tents")
    assert [d.title for d in dataset.corpus.values()] == ["Tents", "", ""]
    assert dataset.questions == [
        Question("q1", "Who sleeps?", ("two",), "d1"),
        Question("q2", "Who flies?", (), "d2"),
        Question("q3", "What floats?"),
    ]
    assert dataset.qrels == {"q1": {"d1": 1}, "q3": {"d2": 1, "d1": 0}}
    assert dataset.golds == {"q1": ("two",), "q2": ()}
    assert (dataset.relevance_level, dataset.n_judged_outside) == (1, 0)


def test_shared_questions_are_limited_to_the_judged_ones(tmp_path: Path) -> None:
    dataset = load_beir(build(tmp_path, questions="queries.jsonl"), "dev")
    assert [q.id for q in dataset.questions] == ["q1", "q3"]


def test_qrels_need_no_header_and_a_byte_order_mark_is_no_id(tmp_path: Path) -> None:
    build(tmp_path)
    write(tmp_path / "qrels" / "dev.tsv", "\ufeffq1\td1\t1\r\n\r\n")
    assert load_beir(tmp_path, "dev").qrels == {"q1": {"d1": 1}}


def test_grades_up_to_three_make_two_the_relevance_level(tmp_path: Path) -> None:
    build(tmp_path)
    write(tmp_path / "qrels" / "dev.tsv", "q1\td1\t3\nq2\td2\t1\n")
    dataset = load_beir(tmp_path, "dev")
    assert dataset.relevance_level == 2
    # It describes the data set, so a draw that happens to miss grade 3 must not change it.
    assert {dataset.limit(1, seed).relevance_level for seed in range(8)} == {2}


def test_judgements_beyond_the_corpus_are_kept_and_counted(tmp_path: Path) -> None:
    build(tmp_path)
    write(tmp_path / "qrels" / "dev.tsv", "q1\td1\t1\nq1\televen\t1\nq3\televen\t1\n")
    dataset = load_beir(tmp_path, "dev")
    assert dataset.n_judged_outside == 1
    assert dataset.qrels["q1"] == {"d1": 1, "eleven": 1}
    # Of the questions that are kept: the second has none.
    assert {dataset.limit(1, seed).n_judged_outside for seed in range(8)} == {0, 1}


def test_limit_is_seeded_nested_and_in_file_order(tmp_path: Path) -> None:
    build(tmp_path)
    rows = [{"_id": f"q{i}", "text": "?"} for i in range(50)]
    write(tmp_path / "queries.dev.jsonl", jsonl(rows))
    dataset = load_beir(tmp_path, "dev")
    ids = [q.id for q in dataset.limit(10).questions]
    assert ids == [q.id for q in dataset.limit(10).questions]
    assert ids == sorted(ids, key=lambda qid: int(qid[1:]))
    assert set(ids) < {q.id for q in dataset.limit(20).questions}
    assert ids != [q.id for q in dataset.limit(10, seed=1).questions]
    assert dataset.limit(10).qrels.keys() <= set(ids)
    assert dataset.limit(10).corpus is dataset.corpus
    assert dataset.limit(50) is dataset
    with pytest.raises(InputError, match="0 questions"):
        dataset.limit(0)


def _truncate(folder: Path) -> None:
    data = gzip.compress((folder / "corpus.jsonl").read_bytes())
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(data[:-12])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "corpus.jsonl").unlink(), r"has no corpus\.jsonl"),
        (lambda f: (f / "queries.dev.jsonl").unlink(), r"has no queries\.dev\.jsonl"),
        (lambda f: write(f / "corpus.jsonl", "\n"), "is empty"),
        (
            lambda f: write(f / "corpus.jsonl", '{"_id": "d1", "text": "x"}\n{"_'),
            "line 2 is no JSON",
        ),
        (lambda f: write(f / "corpus.jsonl", "[]"), "line 1: found a JSON list"),
        (lambda f: write(f / "corpus.jsonl", '{"text": "x"}'), "line 1: found _id None"),
        (lambda f: write(f / "corpus.jsonl", '{"_id": "d1"}'), "line 1: found text None"),
        (lambda f: write(f / "corpus.jsonl", '{"_id": "d", "text": "", "title": 3}'), "title"),
        (lambda f: write(f / "corpus.jsonl", jsonl(DOCUMENTS[:1] * 2)), "line 2.*second time"),
        (lambda f: (f / "corpus.jsonl").write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
        (_truncate, "damaged gzip"),
        (lambda f: write(f / "queries.dev.jsonl", '{"_id": "q1", "text": " "}'), "empty text"),
        (
            lambda f: write(f / "queries.dev.jsonl", '{"_id": "q", "text": "?", "answers": "a"}'),
            "list of strings",
        ),
        (
            lambda f: write(f / "queries.dev.jsonl", '{"_id": "q", "text": "?", "context": 1}'),
            "found context 1",
        ),
        (
            lambda f: write(
                f / "queries.dev.jsonl",
                jsonl([*QUESTIONS, {"_id": "q4", "text": "?", "context": "x"}]),
            ),
            "contexts .* 1 of 3, for example 'x'",
        ),
        (lambda f: write(f / "queries.dev.jsonl", jsonl(QUESTIONS[:1])), "1 of 2, .* 'q3'"),
        (lambda f: write(f / "qrels/dev.tsv", "q1 d1 1\n"), "line 1: found 1 tab-separated"),
        (lambda f: write(f / "qrels/dev.tsv", "q1\td1\tyes\n"), "line 1: found the grade 'yes'"),
        (lambda f: write(f / "qrels/dev.tsv", "q1\td1\t1\nq1\td1\t2\n"), "line 2.*second grade"),
        (lambda f: write(f / "qrels/dev.tsv", "q1\tx\t1\nq3\ty\t1\n"), "2 of 2, .* 'x', 'y'"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(build(tmp_path))
    with pytest.raises(DataError, match=message):
        load_beir(tmp_path, "dev")


def test_no_questions_is_refused(tmp_path: Path) -> None:
    build(tmp_path, questions="queries.jsonl")
    write(tmp_path / "qrels" / "dev.tsv", "query-id\tcorpus-id\tscore\n")
    with pytest.raises(DataError, match="no questions for the split 'dev'"):
        load_beir(tmp_path, "dev")


def test_a_missing_folder_and_a_missing_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set folder at"):
        load_beir(tmp_path / "nowhere", "dev")
    build(tmp_path)
    write(tmp_path / "qrels" / "train.tsv", QRELS, zipped=True)
    with pytest.raises(DataError, match=r"no split 'test'.*splits there: dev, train"):
        load_beir(tmp_path, "test")


@pytest.mark.parametrize("zipped", [False, True])
def test_load_run(tmp_path: Path, zipped: bool) -> None:
    text = "q1 Q0 d1 1 2.5 bm25\nq1\tQ0\td2\t2\t1e-3\tbm25\n\nq2 Q0 d1 1 -7 bm25\n"
    write(tmp_path / "a.trec", text, zipped)
    run = load_run(tmp_path / ("a.trec.gz" if zipped else "a.trec"))
    assert run == {"q1": {"d1": 2.5, "d2": 0.001}, "q2": {"d1": -7.0}}


@pytest.mark.parametrize("zipped", [False, True])
def test_a_submission_of_msmarco(tmp_path: Path, zipped: bool) -> None:
    write(tmp_path / "a.tsv", "1048585\t7187157\t1\n1048585\t7187163\t2\n", zipped)
    path = tmp_path / ("a.tsv.gz" if zipped else "a.tsv")
    assert load_run(path) == {"1048585": {"7187157": -1.0, "7187163": -2.0}}
    many = {"q": {f"d{at:04}": float(at) for at in range(1200)}}
    write_submission(many, path)
    assert list(load_run(path)["q"]) == [f"d{1199 - at:04}" for at in range(1000)]


def test_a_tsv_of_six_columns_is_a_run_of_trec(tmp_path: Path) -> None:
    write(tmp_path / "a.tsv", "q1\tQ0\td1\t1\t2.5\tbm25\n")
    assert load_run(tmp_path / "a.tsv") == {"q1": {"d1": 2.5}}
    write(tmp_path / "a.tsv", "q1\td1\t0\n")
    with pytest.raises(DataError, match="line 1: found the rank '0'; expected 1 or more"):
        load_run(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("q1 Q0 d1 1 2.5 t\nq1 d2 2\n", "line 2: found 3 columns"),
        ("q1 Q0 d1 1 high t\n", "line 1: found the score 'high'"),
        ("q1 Q0 d1 1 nan t\n", "line 1: found the score 'nan'"),
        ("q1 Q0 d1 1 2 t\nq1 Q0 d1 2 1 t\n", "line 2: found document 'd1' again"),
    ],
)
def test_a_malformed_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "a.trec", text)
    with pytest.raises(DataError, match=message):
        load_run(tmp_path / "a.trec")


def test_a_missing_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.trec: No such file"):
        load_run(tmp_path / "none.trec")


def test_unanswerable_questions_of_squad2_are_kept_without_judgements(data_dir: Path) -> None:
    dataset = load_beir(data_dir / "squad2-dev", "dev")
    assert len(dataset.questions) == len(dataset.golds) == 11_873
    assert sum(not answers for answers in dataset.golds.values()) == 5_945
    assert len(dataset.qrels) == 5_928
