"""Ids as data sets have them: titles, quotes, separators of Unicode, and what no file can hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training.toy import write_beir

from unimoer_rag.data import ranked, write_submission
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation import load_beir, load_run, write_run
from unimoer_rag.retrieval.text import clean_text

ODD = (
    "Ed Wood (film)",
    '"quoted"',
    'a "quoted" word',
    "'",
    '"',
    "a,b;c",
    "line\u2028separator",
    "para\u2029graph",
    "next\x85line",
    "no\u00a0break",
    "wide\u3000space",
    "\u00e9 e\u0301",
    "\U0001f600",
    "a\ufeffb",
    " padded ",
    "#1",
    "nan",
)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_judgements_runs_and_corpora_name_the_same_documents(
    tmp_path: Path, end: str, mark: str
) -> None:
    corpus = "".join(json.dumps({"_id": i, "text": "x"}, ensure_ascii=False) + end for i in ODD)
    asked = "".join(json.dumps({"_id": i, "text": "x?"}) + end for i in ODD)
    qrels = "".join(f"{i}\t{ODD[at - 1]}\t1{end}" for at, i in enumerate(ODD))
    run = "".join(f"{i}\tQ0\t{ODD[at - 1]}\t1\t2.5\ttag{end}" for at, i in enumerate(ODD))
    (tmp_path / "qrels").mkdir()
    for name, text in (
        ("corpus.jsonl", corpus),
        ("queries.jsonl", asked),
        ("qrels/dev.tsv", f"query-id\tcorpus-id\tscore{end}{qrels}"),
        ("run.trec", run),
    ):
        (tmp_path / name).write_bytes((mark + text).encode())
    dataset = load_beir(tmp_path, "dev")
    ids = tuple(map(clean_text, ODD))  # as an index has them
    assert len(set(ids)) == len(ODD)
    assert tuple(dataset.corpus) == tuple(q.id for q in dataset.questions) == ids
    assert dataset.qrels == {i: {ids[at - 1]: 1} for at, i in enumerate(ids)}
    assert load_run(tmp_path / "run.trec") == {i: {ids[at - 1]: 2.5} for at, i in enumerate(ids)}


def test_control_characters_are_the_same_everywhere(tmp_path: Path) -> None:
    """An index has a space for one: so have corpus, questions, judgements and runs."""
    folder = write_beir(
        tmp_path / "odd",
        "dev",
        [{"_id": "d\x1c1\ud83d", "text": "x"}],
        [{"_id": "q\x00\x1f", "text": "x?", "context": "d\x1c1\ud83d"}],
        [],
    )
    (folder / "qrels" / "dev.tsv").write_text("q\x00\x1f\td\x1c1\ufffd\t1\n", encoding="utf-8")
    dataset = load_beir(folder, "dev")
    assert dataset.qrels == {"q  ": {"d 1\ufffd": 1}}
    assert dataset.questions[0].context == next(iter(dataset.corpus)) == "d 1\ufffd"
    (folder / "run").write_text("q\x00\x1f\tQ0\td\x1c1\ufffd\t1\t2\tt\n", encoding="utf-8")
    assert load_run(folder / "run") == {"q  ": {"d 1\ufffd": 2.0}}


def test_columns_of_a_run_are_parted_by_tabs_or_by_spaces(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text(
        "q1\tQ0\tEd Wood (film)\t1\t2.0\tbm25\n"
        "q1 Q0 no\u00a0break 2 1.5 t\n"
        "q1  Q0\td3   3 1 t\n"
        " q2 Q0 d1 1 1 t \n",
        encoding="utf-8",
    )
    assert load_run(path) == {
        "q1": {"Ed Wood (film)": 2.0, "no\u00a0break": 1.5, "d3": 1.0},
        "q2": {"d1": 1.0},
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 Ed Wood (film) 1 2.0 bm25", "line 1: found 8 columns.*tabs where ids hold spaces"),
        ("q1\tQ0\t\t1\t2.0\tt", "line 1: found an empty id"),
        ("q1\tQ0\td\t1\t1e999\tt", "line 1: found the score '1e999'"),
        ("q1\tQ0\td\t1\t", "line 1: found 4 columns"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "run").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_run(tmp_path / "run")


_RUNS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.floats(allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(_RUNS)
def test_what_is_written_is_read_again_or_refused(
    tmp_path_factory: pytest.TempPathFactory, run: dict[str, dict[str, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "some.run"
    names = [*run, *(doc_id for scores in run.values() for doc_id in scores)]
    try:
        write_run(run, path)
    except InputError:
        assert any(
            clean_text(name) != name or set(name) & set("\t\r\n") or name[0] == "\ufeff"
            for name in names
        )
        return
    assert load_run(path) == run


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(_RUNS)
def test_a_submission_keeps_the_order_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, run: dict[str, dict[str, float]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        write_run(run, folder / "some.run")
    except InputError:
        with pytest.raises(InputError):
            write_submission(run, folder / "some.tsv")
        return
    write_submission(run, folder / "some.tsv")
    again = load_run(folder / "some.tsv")
    assert [*again] == [*run]
    assert {q: ranked(found) for q, found in again.items()} == {
        q: ranked(found) for q, found in run.items()
    }


def test_a_run_of_odd_ids_is_written_packed_too(tmp_path: Path) -> None:
    ids = tuple(map(clean_text, ODD))
    run = {one: {other: 1 / (at + 3) for at, other in enumerate(ids)} for one in ids}
    write_run(run, tmp_path / "run.gz", tag="my run")
    assert load_run(tmp_path / "run.gz") == run
    ranks = [line.split("\t")[3] for line in _packed(tmp_path / "run.gz")]
    assert ranks == [str(at + 1) for _ in ODD for at in range(len(ODD))]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"q\t1": {"d": 1.0}}, r"the question id 'q\\t1' cannot stand"),
        ({"q": {"": 1.0}}, "question 'q': the document id '' cannot stand"),
        ({"q": {"d\ud83d": 1.0}}, "cannot stand in a TREC run"),
        ({"q": {"d": float("nan")}}, "the score is nan"),
    ],
)
def test_what_no_run_can_hold_leaves_the_file_as_it_was(
    tmp_path: Path, run: dict[str, dict[str, float]], message: str
) -> None:
    (tmp_path / "run").write_text("before", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        write_run({"good": {"d": 1.0}, **run}, tmp_path / "run")
    assert (tmp_path / "run").read_text(encoding="utf-8") == "before"


def _packed(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]
