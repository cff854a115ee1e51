"""JSONL in every layout that is read: what becomes of it, from where, and what is refused."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from unimoer_rag.data import Labelled, SourceConfig, Sources, TrainingSet, group_lengths
from unimoer_rag.data.columns import Example, read_example, read_labelled
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.data.groups import open_rows
from unimoer_rag.data.labelled import LabelledRows
from unimoer_rag.data.rows import JsonlRows
from unimoer_rag.errors import DataError
from unimoer_rag.training.draws import shuffled

SOURCE: TypeAdapter[SourceConfig] = TypeAdapter(SourceConfig)


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "example"),
    [
        (  # ours
            {"query": "q", "positive": "p", "negatives": ["n", "m"]},
            Example("q", ("p", "n", "m"), 1),
        ),
        (  # sentence-transformers
            {"anchor": "q", "positive": "p", "negative": "n"},
            Example("q", ("p", "n"), 1),
        ),
        (
            {"anchor": "q", "positive": "p", "negative_10": "b", "negative_2": "a"},
            Example("q", ("p", "a", "b"), 1),
        ),
        ({"anchor": "q", "positive": "p"}, Example("q", ("p",), 1)),
        (  # FlagEmbedding, with and without scores
            {"query": "q", "pos": ["p", "o"], "neg": ["n", "m"], "prompt": "ignored"},
            Example("q", ("p", "o", "n", "m"), 2),
        ),
        (
            {
                "query": "q",
                "pos": ["p", "o"],
                "neg": ["n", "m"],
                "pos_scores": [9, 8],
                "neg_scores": [1.5, 2],
            },
            Example("q", ("p", "o", "m", "n"), 2, (9.0, 2.0, 1.5)),
        ),
        (
            {"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [], "neg_scores": None},
            Example("q", ("p", "n"), 1),
        ),
        (  # a teacher's scores: the best is the positive
            {"query": "q", "documents": ["a", "b", "c"], "scores": [0.1, 0.9, 0.5]},
            Example("q", ("b", "c", "a"), 1, (0.9, 0.5, 0.1)),
        ),
        (  # grades alone
            {"query": "q", "documents": ["a", "b", "c", "d"], "labels": [0, 3, 1, 3]},
            Example("q", ("b", "d", "c", "a"), 2, (3.0, 1.0, 0.0)),
        ),
        (  # grades say what answers, the teacher by how much
            {"query": "q", "documents": ["a", "b"], "labels": [1, 0], "scores": [0.2, 0.7]},
            Example("q", ("a", "b"), 1, (0.2, 0.7)),
        ),
        (  # a passage counts where it comes first
            {"query": "q", "pos": ["p", "p"], "neg": ["n", "p", "n", "m"]},
            Example("q", ("p", "n", "m"), 1),
        ),
        (
            {"question": "q", "positive": "p", "answer": "yes"},
            Example("q", ("p",), 1, answers=("yes",)),
        ),
    ],
)
def test_rows_of_queries(row: dict[str, Any], example: Example) -> None:
    assert read_example(row, {}) == example


def test_columns_of_other_names() -> None:
    row = {"q": "ask", "good": "yes", "bad": ["no"], "query": "not this"}
    columns = {"query": "q", "positive": "good", "negative": "bad"}
    assert read_example(row, columns) == Example("ask", ("yes", "no"), 1)
    with pytest.raises(ValueError, match="no 'q', which columns gives for query; its columns are"):
        read_example({"query": "x"}, columns)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"positive": "p"}, "no query among positive; expected one of query, anchor, question"),
        ({}, "no query among no columns"),
        ({"query": 3, "positive": "p"}, "query is 3; expected a text"),
        ({"query": " ", "positive": "p"}, "query is ' '; expected a text"),
        ({"query": "q"}, "no positive among query.*columns: {positive: NAME}"),
        (
            {"query": "q", "positive": ["p", 1]},
            r"positive is \['p', 1\]; expected a text or a list",
        ),
        ({"query": "q", "positive": "p", "neg": {"a": 1}}, "neg is {'a': 1}; expected a text"),
        ({"query": "q", "pos": "p", "neg": "n", "pos_scores": 1}, "only its positives or only its"),
        (
            {"query": "q", "pos": "p", "neg": ["n"], "pos_scores": 1, "neg_scores": [1, 2]},
            "neg_scores has 2 numbers for 1 passages",
        ),
        ({"query": "q", "documents": ["a"]}, "neither scores nor labels"),
        ({"query": "q", "documents": [], "scores": []}, "it has no documents"),
        ({"query": "q", "documents": ["a"], "scores": [float("nan")]}, "list of finite numbers"),
        ({"query": "q", "documents": ["a"], "scores": [True]}, "list of finite numbers"),
        ({"query": "q", "documents": ["a"], "labels": [0]}, "no document has a label above 0"),
    ],
)
def test_rows_of_queries_that_are_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_example(row, {})


@pytest.mark.parametrize(
    "row",
    [
        {"query": "q", "documents": ["a", "b", "a"], "labels": [0, 1, 2]},
        {"query": "q", "documents": ["a", "b", "a"], "scores": [0.1, 0.2, 0.9]},
        {"query": "q", "positive": ["a"], "negative": ["b", "a"]},
    ],
)
def test_a_document_that_comes_twice_answers_if_it_does_anywhere(row: dict[str, Any]) -> None:
    found = read_example(row, {})
    assert (found.texts, found.n_positive) == (("a", "b"), 1)
    if "labels" in row or "scores" in row:
        assert found.scores == tuple(map(float, (row.get("labels") or row["scores"])[:0:-1]))


def test_numbers_that_no_float_holds_are_refused() -> None:
    row = {"query": "q", "documents": ["a"], "scores": [10**400]}
    with pytest.raises(ValueError, match="expected a list of finite numbers"):
        read_example(row, {})


def test_rows_may_have_fewer_numbered_negatives_than_others() -> None:
    row = {"query": "q", "positive": "a", "negative_1": "b", "negative_2": None}
    assert read_example(row, {}).texts == ("a", "b")


def test_scored_groups_need_scores() -> None:
    with pytest.raises(ValueError, match=r"it has no scores.*the format triples"):
        read_example({"query": "q", "positive": "p"}, {}, scored=True)


@pytest.mark.parametrize(
    ("row", "example"),
    [
        ({"text": "t", "label": "good"}, Labelled("t", None, "good")),
        ({"premise": "p", "hypothesis": "h", "label": 2}, Labelled("p", "h", "2")),
        ({"sentence1": "p", "sentence2": "h", "label": True}, Labelled("p", "h", "True")),
        ({"text": "t", "pair": None, "label": "x"}, Labelled("t", None, "x")),
    ],
)
def test_rows_of_labelled_texts(row: dict[str, Any], example: Labelled) -> None:
    assert read_labelled(row, {}) == example


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "t"}, "label is None; expected the name of a class"),
        ({"text": "t", "label": 0.5}, "label is 0.5"),
        ({"text": "t", "label": ""}, "label is ''"),
        ({"text": "t", "pair": 3, "label": "x"}, "pair is 3; expected a text, or nothing"),
        ({"label": "x"}, "no text among label"),
    ],
)
def test_rows_of_labelled_texts_that_are_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_labelled(row, {})


def test_jsonl_rows_are_read_by_index(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": "\xc3\xa9"}\n{"a": 3}')
    rows = JsonlRows(path, cache=tmp_path / "cache")
    assert list(rows) == [{"a": 1}, {"a": "é"}, {"a": 3}]
    assert rows[-1] == {"a": 3}
    assert rows[1:] == [{"a": "é"}, {"a": 3}]
    assert rows.place(1) == f"{path}, line 4"
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    again = JsonlRows(packed, cache=tmp_path / "cache")
    assert (list(again), again.digest) == (list(rows), rows.digest)
    assert again.place(1) == f"{packed}, line 4"
    path.write_text('{"a": 1}\n', encoding="utf-8")
    assert JsonlRows(path, cache=tmp_path).digest != rows.digest


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "rows.jsonl is empty"),
        (b"[" * 10**5, "line 1 is no JSON .*nested deeper than"),
        (b'{"text": "t", "text": "u"}', "line 1 is no JSON .*the key 'text' stands twice"),
        (b'{"text": "t", "label": "\\u0000"}', r"line 1: label is '\\x00'; expected the name"),
        (b'{"text": "t", "label": "x"}\n[1]\n', "line 2: found a JSON list; expected a JSON obj"),
        (
            b'{"text": "t", "label": "x"}\n\n{"tex',
            "line 3 is no JSON: .*; expected one JSON object",
        ),
        (b'{"text": "\xff"}\n', "line 1 is not UTF-8: .*; expected one JSON object"),
        (b'{"text": "t", "label": "x"}\n{"text": "t"}\n', "line 2: label is None; expected"),
    ],
)
def test_damaged_jsonl_is_told_by_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        LabelledRows(JsonlRows(path, cache=tmp_path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.jsonl"):
        JsonlRows(tmp_path / "none.jsonl", cache=tmp_path)
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1}\n' * 999)[:-9])
    with pytest.raises(DataError, match="a damaged gzip file"):
        JsonlRows(packed, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


Opener = Callable[..., TrainingSet]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    def run(rows: list[dict[str, Any]], **options: Any) -> TrainingSet:
        path = write(tmp_path / "rows.jsonl", rows)
        return open_rows("set", JsonlRows(path, cache=tmp_path), cache=tmp_path / "c", **options)

    return run


ROWS: list[dict[str, Any]] = [
    {"query": "Where?", "pos": ["here", "there"], "neg": ["now", "hence"]},
    {"query": "When?", "pos": ["now"], "neg": ["here", "then"]},
    {"query": "where?", "pos": ["hence"], "neg": ["there", "then"]},
]


def test_what_answers_in_one_row_is_known_in_every_other(opened: Opener) -> None:
    found = opened(ROWS)
    where, when, again = found.groups
    assert [found.texts[where.positive], found.texts[when.positive]] == ["here", "now"]
    # The same words in another case: what answers one answers the other, and is no negative.
    assert [found.texts[p] for p in where.relevant] == ["here", "there", "hence"]
    assert where.relevant == again.relevant
    assert [found.texts[n] for n in where.negatives] == ["now"]
    assert [found.texts[n] for n in again.negatives] == ["then"]
    # One text, one position, in whatever row it stands.
    assert when.positive == where.negatives[0]
    assert when.negatives == (where.positive, again.negatives[0])
    assert list(group_lengths(found)) == [10, 8, 11]
    assert found.groups[-1] == again
    assert found.groups[1:] == [when, again]
    with pytest.raises(IndexError):
        found.groups[3]


def test_scores_follow_their_passages(opened: Opener) -> None:
    found = opened(
        [
            {"query": "q", "documents": ["a", "b", "c"], "scores": [1, 3, 2]},
            {"query": "Q", "documents": ["c", "d"], "scores": [5, 4]},
        ],
        scored=True,
    )
    first, second = found.groups
    assert [found.texts[n] for n in (first.positive, *first.negatives)] == ["b", "a"]
    assert first.scores == (3.0, 1.0)  # "c" answers the same question elsewhere
    assert second.scores == (5.0, 4.0)


def test_an_index_is_kept_by_content_and_made_again_when_damaged(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list(opened(ROWS).groups)
    (folder,) = (tmp_path / "c").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(np, "unique", lambda *a, **k: pytest.fail("indexed again"))
        assert list(opened(ROWS).groups) == first
    whole = (folder / "first.npy").read_bytes()
    (folder / "first.npy").write_bytes(whole[:-5])
    assert list(opened(ROWS).groups) == first
    assert (folder / "first.npy").read_bytes() == whole
    opened(ROWS[:2])
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_a_malformed_row_is_told_before_training_and_leaves_nothing(
    opened: Opener, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: it has no positive"):
        opened([ROWS[0], {"query": "q"}])
    assert not (tmp_path / "c").exists()


short = st.text("abc", min_size=1, max_size=2)


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "query": st.sampled_from(["x", "X", "y", "z"]),
                "pos": st.lists(short, min_size=1, max_size=3),
                "neg": st.lists(short, max_size=4),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_groups_against_a_direct_reading(opened: Opener, rows: list[dict[str, Any]]) -> None:
    found = opened(rows)
    answers: dict[str, set[str]] = {}
    for row in rows:
        answers.setdefault(row["query"].lower(), set()).update(row["pos"])
    assert len(found.groups) == len(rows)
    for row, group in zip(rows, found.groups, strict=True):
        right = answers[row["query"].lower()]
        assert group.query == row["query"]
        assert found.texts[group.positive] == row["pos"][0]
        assert {found.texts[p] for p in group.relevant} == right
        assert len(group.relevant) == len(right)
        negatives = dict.fromkeys(n for n in row["neg"] if n not in right)
        assert [found.texts[n] for n in group.negatives] == list(negatives)


# -- the sources of a recipe ------------------------------------------------------------------


def test_sources_open_each_format_by_name(tmp_path: Path, toy: BeirDataset, toy_data: Path) -> None:
    write(tmp_path / "clicks.jsonl", ROWS)
    write(tmp_path / "taught.jsonl", [{"query": "q", "documents": ["a"], "scores": [1]}])
    write(tmp_path / "nli.jsonl", [{"premise": "p", "hypothesis": "h", "label": "no"}])
    sources = Sources(
        tmp_path,
        {
            "clicks": SOURCE.validate_python({"format": "triples", "path": "clicks.jsonl"}),
            "more": SOURCE.validate_python(
                {"format": "triples", "path": "clicks.jsonl", "mine": True}
            ),
            "taught": SOURCE.validate_python({"format": "scored", "path": "taught.jsonl"}),
            "nli": SOURCE.validate_python({"format": "labelled", "path": "nli.jsonl"}),
            "folder": SOURCE.validate_python({"format": "beir", "path": str(toy_data / "toy")}),
        },
        given={"toy": toy},
        cache=tmp_path / "cache",
    )
    assert len(sources.groups("clicks").groups) == 3
    assert sources.groups("clicks") is sources.groups("clicks")
    assert sources.groups("taught").groups[0].scores == (1.0,)
    assert list(sources.labelled("nli")) == [Labelled("p", "h", "no")]
    assert sources.labelled("nli").labels == {"no": 1}
    assert sources.beir("toy") is toy
    assert sources.groups("toy").groups[0].answers == toy.questions[0].answers
    assert len(sources.groups("folder").texts) == len(toy.corpus)
    mined = {name: sources.is_mined(name) for name in ("clicks", "more", "taught", "toy", "folder")}
    assert mined == {"clicks": False, "more": True, "taught": False, "toy": True, "folder": True}
    assert sources.is_mined("unnamed")  # a BEIR folder of that name
    with pytest.raises(DataError, match="clicks has the format triples; expected beir"):
        sources.beir("clicks")
    with pytest.raises(DataError, match="nli holds labelled texts; expected queries"):
        sources.groups("nli")
    with pytest.raises(DataError, match="clicks holds no labelled texts"):
        sources.labelled("clicks")
    with pytest.raises(DataError, match="unnamed"):
        sources.beir("unnamed")
    with pytest.raises(DataError, match=r"no data folder at .*expected toy inside it"):
        Sources(tmp_path / "nowhere").beir("toy")


PIN = {"format": "hub", "repo": "owner/name"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"format": "csv"}, "Input tag 'csv'"),
        ({"format": "triples"}, "path"),
        ({"format": "triples", "path": "x", "split": "dev"}, "split"),
        (
            {"format": "triples", "path": "x", "columns": {"querry": "q"}},
            "columns: unknown 'querry', expected one of query, positive",
        ),
        (PIN, "revision is None: expected the 40 .*huggingface.co/datasets/owner/name/commits"),
        ({**PIN, "revision": "main"}, "revision is 'main': expected the 40 hexadecimal digits"),
        ({**PIN, "repo": "./here", "revision": "a" * 40}, "a local folder .* has none"),
        ({**PIN, "revision": "a" * 40, "rows": 0}, "rows"),
    ],
)
def test_source_configs_that_are_refused(config: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SOURCE.validate_python(config)


@pytest.mark.slow
def test_draws_hold_little_of_a_file_in_memory(opened: Opener) -> None:
    rng = random.Random(0)
    passages = ["".join(rng.choices("abcdefgh ", k=1500)) for _ in range(300)]
    found = opened(
        [
            {"query": f"query {n}", "pos": [f"{n} {passages[n % 300]}"], "neg": [f"{n} no"] * 2}
            for n in range(3000)
        ]
    )
    size = 3000 * 1500
    tracemalloc.start()
    for at in range(3000):
        group = found.groups[shuffled(at, 3000)]
        assert found.texts[group.positive].startswith(group.query.removeprefix("query ") + " ")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 4


def test_texts_pass_the_one_rule_for_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json.dumps({"text": "caf\ud800", "pair": "a\x00b", "label": "x\ud800"}), encoding="utf-8"
    )
    (found,) = LabelledRows(JsonlRows(path, cache=tmp_path))
    assert (found.text, found.pair, found.label) == ("caf\ufffd", "a b", "x\ufffd")
    row = {
        "query": "q\ud800",
        "positive": "p\x01",
        "negatives": ["n\udfff", "m"],
        "answer": "\ud800",
    }
    example = read_example(row, {})
    assert (example.query, example.answers) == ("q\ufffd", ("\ufffd",))
    assert example.texts == ("p ", "n\ufffd", "m")
    with pytest.raises(ValueError, match=r"positive is .*expected a text or a list of texts"):
        read_example({"query": "q", "positive": "\x00\x01"}, {})


def test_a_line_longer_than_any_row_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unimoer_rag.data.lines._LONGEST", 100)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "t", "label": "x"}) + "\n" + "x" * 200, encoding="utf-8")
    with pytest.raises(
        DataError, match="line 2: found a line of more than 100 bytes; expected one row"
    ):
        JsonlRows(path, cache=tmp_path)
