"""What every home of an index must do; a test class inherits this and says how to make one."""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import numpy as np
import pytest

from unimoer_rag.errors import InputError, StoreError
from unimoer_rag.retrieval.sparse import BM25Encoder, SparseVector
from unimoer_rag.retrieval.store import Label, Record, Store
from unimoer_rag.retrieval.types import Passage

DIMENSION = 8
TEXTS = (
    "Refunds are paid within ten working days.",
    "The warranty lasts two years and covers parts.",
    "Refunds of shipping costs are never paid; refunds of goods are.",
    "Unser Büro in Zürich öffnet um neun Uhr.",
    "東京の事務所は十時に開きます。",
    "Working hours are nine to five.",
)
ENCODER = BM25Encoder()


def make_record(number: int, text: str | None = None, **metadata: object) -> Record:
    passage = Passage(
        text=TEXTS[number % len(TEXTS)] if text is None else text,
        source=f"doc{number // 2}.md",
        title=f"Title {number}",
        start=number * 100,
        end=number * 100 + 50,
        metadata=metadata,  # type: ignore[arg-type]
    )
    vector = np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)
    return Record(passage, vector, ENCODER.document(passage.text))


RECORDS = [
    make_record(0, year=2019, tag=["money", "goods"], price=5.0, draft=False),
    make_record(1, year=2020, tag=["goods"], price=7, draft=False),
    make_record(2, year=2021, tag=["money"], price=7.5, draft=True),
    make_record(3, year=2022, lang="de", **{"a b.c": "x", "größe": "groß"}),
    make_record(4, year=2023, lang="ja"),
    make_record(5),
]
IDS = [record.passage.id for record in RECORDS]


VALUES: list[object] = [
    *(
        0,
        1,
        -1,
        5,
        1.0,
        -0.0,
        0.1,
        True,
        False,
        None,
        "1",
        "true",
        "True",
        "",
        "x\0y",
        "é",
        "e\u0301",
    ),
    *(2**53, 2**53 + 1, 2**53 - 1, float(2**53), -(2**53), -(2**53) - 1, 2**63 - 1, -(2**63)),
    *(10**17, 1e17, 10**17 + 1, 1e300, 2**60 + 50, 2**60 + 200, 1_700_000_000_000_000_001),
    *(1.9870324349378698e82, 0.1 + 0.2, 2019.9999999999998, 5e-324, [0.1 + 0.2, 7.000000000000001]),
    {"nested": [1.9870324349378698e82]},
    *([1, 2], [True, "a"], ["a", "b"], [], [[1]], {"a": 1}, [3, 2**53 + 1], [1.5, 2**60 + 99]),
]
BOUNDS: list[float] = [
    *(0, 0.3, 0.1 + 0.2, 2020, 1.0, -1, 0.5, 2**53, 2**53 + 1, -(2**53), 2**60 + 100, 1e17),
    *(1e300, 2**70),
]
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
KEYS = [
    *(
        "a",
        "a b",
        "a.b",
        "a[0]",
        "a[]",
        "a\\b",
        'a"b',
        "a%22b",
        "a\\\\b",
        '"',
        "\\",
        "%",
        "é",
        "e\u0301",
    ),
    *("-", ".", "\n", "\0", "[", "'", " ", "*", "😀", "flags", "numbers", "quoted", "metadata"),
    'metadata."a"',
]


def _equal(wanted: object, value: object) -> bool:
    """As Python has it, but that booleans are no numbers."""
    return isinstance(wanted, bool) == isinstance(value, bool) and wanted == value


def _compared(bounds: dict[str, float], value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and all(COMPARE[name](value, bound) for name, bound in bounds.items())
    )


def day(number: int, hour: int = 0, minute: int = 0, microsecond: int = 0) -> datetime:
    """A moment of February 2024."""
    return datetime(2024, 2, number, hour, minute, microsecond=microsecond, tzinfo=UTC)


def numbers(store: Store, filters: dict[str, object]) -> set[int]:
    """Which of RECORDS meet the filters, by every way of asking."""
    scrolled = {IDS.index(passage.id) for passage in store.scroll(filters)}
    [found] = store.search_dense(np.ones((1, DIMENSION), np.float32), limit=99, filters=filters)
    assert {IDS.index(item.passage.id) for item in found} == scrolled
    assert store.count(filters) == len(scrolled)
    return scrolled


class StoreContract:
    """Inherit, and give a fixture `empty`: a store of dimension 8 that holds nothing."""

    @pytest.fixture
    def empty(self) -> Iterator[Store]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, empty: Store) -> Store:
        empty.upsert(RECORDS)
        return empty

    # Reading and writing

    def test_an_empty_store_finds_nothing(self, empty: Store) -> None:
        assert empty.read_only == ""
        assert empty.dimension == DIMENSION
        assert empty.count() == 0
        assert empty.sources() == {}
        assert list(empty.scroll()) == []
        assert empty.get(IDS) == []
        assert empty.existing(IDS) == set()
        assert empty.delete(IDS) == 0
        assert empty.identity() is None
        assert empty.search_dense(np.ones((2, DIMENSION), np.float32), limit=5) == [[], []]
        assert empty.search_sparse([ENCODER.query("refunds")], limit=5) == [[]]
        empty.upsert([])
        assert empty.count() == 0

    def test_passages_tell_which_document_they_are_of(self, store: Store) -> None:
        passages = [
            Passage("One row.", "wiki", document_id="1", origin="a.jsonl"),
            Passage("One row.", "wiki", document_id="2", origin="a.jsonl"),
            Passage("A file.", "docs/a.md", "A", metadata={"type": "markdown"}),
        ]
        vector = np.ones(DIMENSION, np.float32)
        store.upsert(Record(p, vector, ENCODER.document(p.text)) for p in passages)
        ids = [passage.id for passage in passages]
        assert len({*ids, *IDS}) == 9
        assert store.get(ids) == passages
        assert [p.origin for p in store.get(ids)] == ["a.jsonl", "a.jsonl", ""]
        assert {label.id for label in store.labels()} == {*IDS, *ids}
        assert {label.id for label in store.labels(sources=["wiki"])} == set(ids[:2])
        [second] = store.labels(sources=["wiki", "doc0.md"], document_ids=["2", "3"])
        assert second == Label(ids[1], "wiki", "", "2", "a.jsonl", "")
        [read] = store.labels(sources=["docs/a.md"])
        assert (read.file, second.file) == ("docs/a.md", "a.jsonl")
        assert {label.file for label in store.labels(sources=["doc0.md"])} == {""}

    def test_what_went_in_comes_out(self, store: Store) -> None:
        assert store.count() == len(RECORDS)
        assert store.get(IDS[::-1]) == [record.passage for record in RECORDS[::-1]]
        assert [p.id for p in store.scroll()] == sorted(IDS)
        assert store.sources() == {"doc0.md": 2, "doc1.md": 2, "doc2.md": 2}
        assert store.sources({"source": ["doc2.md", "absent"]}) == {"doc2.md": 2}
        absent = make_record(77).passage.id
        assert store.existing([*IDS, absent]) == set(IDS)
        assert store.get([absent, IDS[0]]) == [RECORDS[0].passage]

    def test_the_same_id_replaces(self, store: Store) -> None:
        old = RECORDS[0]
        passage = Passage(**{**_fields(old.passage), "metadata": {"year": 1999}})
        assert passage.id == old.passage.id
        store.upsert([Record(passage, -old.dense, ENCODER.document("entirely different"))])
        assert store.count() == len(RECORDS)
        assert store.get([passage.id]) == [passage]
        [[best]] = store.search_dense(-old.dense[None], limit=1)
        assert best.passage == passage
        assert best.score == pytest.approx(1, abs=1e-5)
        [found] = store.search_sparse([ENCODER.query("different")], limit=9)
        assert [item.passage.id for item in found] == [passage.id]

    def test_the_last_of_an_id_wins_within_a_batch(self, empty: Store) -> None:
        first = RECORDS[0]
        last = Record(
            Passage(**{**_fields(first.passage), "metadata": {"v": 2}}), first.dense, first.sparse
        )
        empty.upsert([first, last])
        assert [p.metadata for p in empty.scroll()] == [{"v": 2}]

    def test_delete_by_id_and_by_filter(self, store: Store) -> None:
        absent = make_record(77).passage.id
        assert store.delete([IDS[0], IDS[0], absent]) == 1
        assert store.delete(filters={"source": "doc1.md"}) == 2
        assert store.delete(filters={"source": "doc1.md"}) == 0
        assert store.existing(IDS) == {IDS[1], IDS[4], IDS[5]}
        [found] = store.search_dense(np.ones((1, DIMENSION), np.float32), limit=99)
        assert len(found) == 3
        store.upsert([RECORDS[0]])
        assert store.count() == 4

    def test_delete_says_exactly_one_thing(self, store: Store) -> None:
        for arguments in ({}, {"ids": IDS, "filters": {"source": "a"}}, {"filters": {}}):
            with pytest.raises(InputError, match="exactly one"):
                store.delete(**arguments)
        assert store.delete([]) == 0
        assert store.count() == len(RECORDS)

    def test_unicode_comes_back_as_it_was(self, empty: Store) -> None:
        text = "naïve e\u0301 𝔘 \u202e\0 \r\n\t 👩‍🚀 " + "日" * 1000
        record = make_record(9, text=text, **{"ключ": ["значение", "🙂"]})
        empty.upsert([record])
        assert empty.get([record.passage.id]) == [record.passage]
        assert empty.count({"ключ": "🙂"}) == 1

    def test_token_states_come_and_go_with_their_passage(self, store: Store) -> None:
        assert store.states(IDS) == {}  # these have none
        first, second = (replace(RECORDS[n], states=bytes(range(256)) * (n + 1)) for n in (0, 1))
        store.upsert([first, second])
        assert store.states([IDS[1], IDS[2], IDS[0]]) == {
            IDS[0]: first.states,
            IDS[1]: second.states,
        }
        assert store.get(IDS) == [record.passage for record in RECORDS]
        store.upsert([RECORDS[0]])  # in the place of what had some
        store.delete([IDS[1]])
        assert store.states(IDS) == {}
        store.upsert([second])
        assert store.states(IDS) == {IDS[1]: second.states}
        with pytest.raises(InputError, match="not a passage id"):
            store.states(["x"])

    @pytest.mark.slow
    def test_states_larger_than_a_request_are_kept_whole(self, empty: Store) -> None:
        states = bytes(range(256)) * 500
        records = [replace(make_record(n), states=states) for n in range(300)]
        empty.upsert(records)
        found = empty.states([record.passage.id for record in records])
        assert len(found) == 300
        assert set(found.values()) == {states}

    def test_a_page_boundary_loses_nothing(self, empty: Store) -> None:
        records = [make_record(number, text=f"passage {number}") for number in range(600)]
        empty.upsert(iter(records))
        ids = [record.passage.id for record in records]
        assert [p.id for p in empty.scroll()] == sorted(ids)
        assert sum(empty.sources().values()) == 600
        assert empty.existing(ids) == set(ids)
        assert [p.id for p in empty.get(ids)] == ids

    # Scores

    def test_dense_scores_are_cosines(self, store: Store) -> None:
        queries = np.random.default_rng(1).normal(size=(3, DIMENSION)).astype(np.float32) * 9
        matrix = np.stack([record.dense for record in RECORDS]).astype(np.float64)
        for query, found in zip(queries, store.search_dense(queries, limit=99), strict=True):
            cosine = matrix @ query / np.linalg.norm(matrix, axis=1) / np.linalg.norm(query)
            order = np.argsort(-cosine)
            assert [item.passage.id for item in found] == [IDS[i] for i in order]
            assert [item.score for item in found] == pytest.approx(cosine[order], abs=1e-5)

    def test_sparse_scores_are_bm25(self, store: Store) -> None:
        # By hand: "refund" occurs once in TEXTS[0] and twice in TEXTS[2], in no other.
        idf = math.log(1 + (6 - 2 + 0.5) / (2 + 0.5))
        weight = {i: _weight(record, "refund") for i, record in enumerate(RECORDS)}
        [found] = store.search_sparse([ENCODER.query("refunds")], limit=99)
        assert [item.passage.id for item in found] == [IDS[2], IDS[0]]
        assert [item.score for item in found] == pytest.approx(
            [idf * weight[2], idf * weight[0]], rel=1e-5
        )

    def test_idf_follows_deletes_and_is_that_of_the_whole_index(self, store: Store) -> None:
        [found] = store.search_sparse(
            [ENCODER.query("refunds")], limit=9, filters={"source": "doc0.md"}
        )
        idf = math.log(1 + (6 - 2 + 0.5) / (2 + 0.5))
        assert [item.score for item in found] == pytest.approx(
            [idf * _weight(RECORDS[0], "refund")], rel=1e-5
        )
        store.delete([IDS[2]])
        [found] = store.search_sparse([ENCODER.query("refunds")], limit=9)
        idf = math.log(1 + (5 - 1 + 0.5) / (1 + 0.5))
        assert [item.score for item in found] == pytest.approx(
            [idf * _weight(RECORDS[0], "refund")], rel=1e-5
        )

    def test_several_sparse_queries_at_once(self, store: Store) -> None:
        texts = ["öffnet Zürich", "", "nothing that occurs", "hours"]
        found = store.search_sparse([ENCODER.query(text) for text in texts], limit=3)
        assert [[IDS.index(f.passage.id) for f in one] for one in found] == [[3], [], [], [5]]
        assert store.search_sparse([], limit=3) == []

    def test_limits(self, store: Store) -> None:
        queries = np.ones((1, DIMENSION), np.float32)
        assert [len(store.search_dense(queries, limit=n)[0]) for n in (1, 4, 10**9)] == [1, 4, 6]
        for limit in (0, -1):
            with pytest.raises(InputError, match="at least 1"):
                store.search_dense(queries, limit=limit)
            with pytest.raises(InputError, match="at least 1"):
                store.search_sparse([ENCODER.query("refunds")], limit=limit)
        assert store.search_dense(np.empty((0, DIMENSION), np.float32), limit=3) == []

    def test_ties_come_by_id(self, empty: Store) -> None:
        vector = np.ones(DIMENSION, np.float32)
        same = [make_record(n, text="same words") for n in range(20)]
        empty.upsert([Record(r.passage, vector, r.sparse) for r in same])
        ids = sorted(r.passage.id for r in same)
        [dense] = empty.search_dense(vector[None], limit=99)
        [sparse] = empty.search_sparse([ENCODER.query("words")], limit=99)
        assert [f.passage.id for f in dense] == [f.passage.id for f in sparse] == ids

    def test_the_first_of_many_are_those_of_few(self, empty: Store) -> None:
        """However many tie, and however few are asked for: by score, then by id."""
        groups = [np.eye(DIMENSION, dtype=np.float32)[n % 4] for n in range(80)]
        texts = ["same words", "same words here", "other words", "nothing"]
        empty.upsert(
            Record(record.passage, groups[n], ENCODER.document(texts[n % 4]))
            for n, record in enumerate(make_record(n, text=f"passage {n}") for n in range(80))
        )
        query = np.array([[4, 3, 2, 1, 0, 0, 0, 0]], np.float32)
        [dense] = empty.search_dense(query, limit=80)
        [sparse] = empty.search_sparse([ENCODER.query("same words")], limit=80)
        assert (len(dense), len(sparse)) == (80, 60)
        for found in (dense, sparse):
            assert found == sorted(found, key=lambda f: (-f.score, f.passage.id))
            assert len({f.score for f in found}) <= 4
        for limit in (1, 2, 3, 10, 19, 20, 21, 40, 59, 79):
            assert empty.search_dense(query, limit=limit) == [dense[:limit]]
            [fewer] = empty.search_sparse([ENCODER.query("same words")], limit=limit)
            assert fewer == sparse[:limit]

    def test_a_zero_vector_is_like_nothing(self, empty: Store) -> None:
        empty.upsert([Record(RECORDS[0].passage, np.zeros(DIMENSION), SparseVector((), ()))])
        [[found]] = empty.search_dense(np.ones((1, DIMENSION), np.float32), limit=1)
        assert found.score == 0

    # Filters

    def test_filters(self, store: Store) -> None:
        for filters, expected in (
            ({}, {0, 1, 2, 3, 4, 5}),
            ({"source": "doc0.md"}, {0, 1}),
            ({"title": "Title 3"}, {3}),
            ({"source": ["doc0.md", "doc2.md", "none.md"]}, {0, 1, 4, 5}),
            ({"tag": "money"}, {0, 2}),
            ({"tag": ["money", "goods"]}, {0, 1, 2}),
            ({"tag": "Money"}, set()),
            ({"year": 2020}, {1}),
            ({"year": [2019, 2023]}, {0, 4}),
            ({"year": {"gte": 2020, "lt": 2022}}, {1, 2}),
            ({"year": {"gt": 2020}}, {2, 3, 4}),
            ({"year": {"lte": 2019.5}}, {0}),
            ({"price": 5}, {0}),
            ({"price": 7.0}, {1}),
            ({"price": {"gt": 7}}, {2}),
            ({"draft": True}, {2}),
            ({"draft": [True, False]}, {0, 1, 2}),
            ({"lang": ["de", 2020, True]}, {3}),
            ({"a b.c": "x"}, {3}),
            ({"größe": "groß"}, {3}),
            ({"unheard of": "x"}, set()),
            ({"year": {"gte": 2020}, "tag": "money"}, {2}),
            ({"not": {"tag": "money"}}, {1, 3, 4, 5}),
            ({"not": {"tag": "money", "lang": ["de", "ja"]}}, {1, 5}),
            ({"year": {"gte": 2020}, "not": {"source": "doc1.md"}}, {1, 4}),
        ):
            assert numbers(store, filters) == expected, filters

    def test_filters_of_filters(self, store: Store) -> None:
        money, german = {"tag": "money"}, {"lang": "de"}
        for filters, expected in (
            ({"any": [money, german]}, {0, 2, 3}),
            ({"any": [{"tag": "money", "year": 2019}, german]}, {0, 3}),
            ({"any": [money]}, {0, 2}),
            ({"all": [{"tag": "money"}, {"tag": "goods"}]}, {0}),
            ({"all": [{"year": {"gt": 2019}}, {"not": money}]}, {1, 3, 4}),
            ({"any": [money, german], "year": {"gte": 2020}}, {2, 3}),
            ({"not": {"any": [money, german]}}, {1, 4, 5}),
            ({"not": {"all": [{"tag": "money"}, {"tag": "goods"}]}}, {1, 2, 3, 4, 5}),
            ({"not": {"all": [{"not": money}, {"not": german}]}}, {0, 2, 3}),
            ({"any": [{"not": {"any": [{"not": money}]}}, {"all": [german, german]}]}, {0, 2, 3}),
            ({"any": [{"source": "doc0.md"}, {"title": "Title 5"}]}, {0, 1, 5}),
            ({"any": "money"}, set()),  # metadata of that name
        ):
            assert numbers(store, filters) == expected, filters

    def test_filters_by_words(self, empty: Store) -> None:
        texts = ["Returns are free for Members", "free-of-charge", "Rückgabe gratis; gratis!"]
        texts += ["a_b c.d 3.5", "", "東京の事務所", "x FREE y"]
        values: list[object] = [*texts, ["zz", "free kayaks"], 7, None]
        empty.upsert([make_record(n, f"text {n}", k=value) for n, value in enumerate(values)])
        for words, expected in (
            ("free", {0, 1, 6, 7}),
            ("Free", {0, 1, 6, 7}),
            ("members returns", {0}),
            ("zz kayaks", set()),
            ("fre", set()),
            ("RÜCKGABE", {2}),
            ("gratis!", {2}),
            ("3.5", {3}),
            ("a", {3}),
            ("東京", set()),
            ("7", set()),
        ):
            found = {int(passage.text[5:]) for passage in empty.scroll({"k": {"words": words}})}
            assert found == expected, words
            assert empty.count({"not": {"k": {"words": words}}}) == len(values) - len(expected)
        assert empty.count({"title": {"words": "title 3"}}) == 1

    def test_filters_by_dates(self, empty: Store) -> None:
        values: list[object] = [
            *("2024-02-29", "2024-02-29T10:00:00", "2024-02-29 10:00:00.5Z"),
            *("2024-02-29T10:00:00+01:00", "2024-02-29T10:00:00.000001-0930", "2024-2-9"),
            *("2024-02-29T10:00:00.1234567Z", "2024-02-29 10:00", "2024-02-29 10:00+01:00"),
            *("1969-12-31T23:59:59", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59.999999"),
            *("2024-02-30", "2023-02-29", "2024-02", "2024", "10:00:00", "20240229", "soon", ""),
            *(["2020-01-01", "2030-01-01"], ["x", 7], 2024, 1709164800, True, None),
        ]
        empty.upsert([make_record(n, f"text {n}", k=value) for n, value in enumerate(values)])
        moments = {
            **{0: [day(29)], 1: [day(29, 10)], 2: [day(29, 10, microsecond=500_000)]},
            **{3: [day(29, 9)], 4: [day(29, 19, 30, microsecond=1)], 5: [day(9)]},
            **{6: [day(29, 10, microsecond=123_456)], 7: [day(29, 10)]},
            **{9: [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)]},
            **{10: [datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))]},
            **{11: [datetime.max.replace(tzinfo=UTC)]},
            **{20: [datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2030)]},
        }
        bounds = {
            "2024-02-29": day(29),
            "2024-02-29T10:00:00": day(29, 10),
            "2024-02-29T11:00:00.000000+02:00": day(29, 9),
            "1970-01-01": datetime(1970, 1, 1, tzinfo=UTC),
            "9999-12-31": datetime(9999, 12, 31, tzinfo=UTC),
        }
        asked = [{name: bound} for bound in bounds for name in COMPARE]
        for wanted in [*asked, {"gte": "2024-02-29", "lt": "9999-12-31"}]:
            expected = {
                n
                for n, some in moments.items()
                if any(all(COMPARE[o](m, bounds[b]) for o, b in wanted.items()) for m in some)
            }
            found = {int(passage.text[5:]) for passage in empty.scroll({"k": wanted})}
            assert found == expected, wanted
            assert empty.count({"not": {"k": wanted}}) == len(values) - len(expected), wanted

    def test_filters_by_emptiness(self, empty: Store) -> None:
        values: list[object] = [None, [], 0, False, "", [None], {}, {"a": None}, "x", 2**60, True]
        records = [make_record(n, f"text {n}", k=value) for n, value in enumerate(values)]
        records.append(make_record(len(values), f"text {len(values)}"))
        records.append(replace(records[-1], passage=Passage("no title", "s")))
        empty.upsert(records)
        missing = {record.passage.id for record in records[-2:]}
        found = {passage.id for passage in empty.scroll({"k": {"empty": True}})}
        assert found == {records[0].passage.id, records[1].passage.id} | missing
        others = {passage.id for passage in empty.scroll({"k": {"empty": False}})}
        assert others == {record.passage.id for record in records} - found
        assert {p.id for p in empty.scroll({"not": {"k": {"empty": False}}})} == found
        assert [p.text for p in empty.scroll({"title": {"empty": True}})] == ["no title"]

    def test_filters_apply_to_sparse_search(self, store: Store) -> None:
        query = [ENCODER.query("refunds")]
        [found] = store.search_sparse(query, limit=9, filters={"not": {"draft": True}})
        assert [item.passage.id for item in found] == [IDS[0]]

    def test_a_bad_filter_is_refused_everywhere(self, store: Store) -> None:
        bad = {"year": {"from": 3}}
        with pytest.raises(InputError, match="'from'"):
            store.search_dense(np.ones((1, DIMENSION), np.float32), limit=3, filters=bad)
        with pytest.raises(InputError, match="'from'"):
            store.search_sparse([ENCODER.query("x")], limit=3, filters=bad)
        with pytest.raises(InputError, match="'from'"):
            store.delete(filters=bad)
        with pytest.raises(InputError, match="'from'"):
            store.count(bad)
        with pytest.raises(InputError, match="'from'"):
            store.scroll(bad)

    @pytest.mark.slow
    def test_metadata_mean_the_same_in_every_store(self, empty: Store) -> None:
        records = [make_record(n, text=f"value {n}", k=value) for n, value in enumerate(VALUES)]
        empty.upsert(records)
        ids = {record.passage.id: n for n, record in enumerate(records)}
        for record, value in zip(records, VALUES, strict=True):
            [back] = empty.get([record.passage.id])
            assert repr(back.metadata["k"]) == repr(value)
        filters: list[tuple[object, Callable[[object], bool]]] = []
        for value in VALUES:
            for wanted in value if isinstance(value, list) else [value]:
                if isinstance(wanted, str | bool | int | float):
                    filters.append((wanted, partial(_equal, wanted)))
        for bound in BOUNDS:
            for name in COMPARE:
                filters.append(({name: bound}, partial(_compared, {name: bound})))
        both = {"gt": 2**53, "lte": 2**60 + 200}
        filters.append((both, partial(_compared, both)))
        for wanted, meets in filters:
            expected = {
                n
                for n, value in enumerate(VALUES)
                if any(map(meets, value if isinstance(value, list) else [value]))
            }
            found = {ids[passage.id] for passage in empty.scroll({"k": wanted})}
            assert found == expected, wanted
            others = {ids[passage.id] for passage in empty.scroll({"not": {"k": wanted}})}
            assert others == set(ids.values()) - expected, wanted

    def test_any_key_can_be_filtered_by(self, empty: Store) -> None:
        records = [
            make_record(n, text=f"key {n}", **{key: [n, str(n), 2**60 + n, n % 2 == 0]})
            for n, key in enumerate(KEYS)
        ]
        empty.upsert(records)
        for n, key in enumerate(KEYS):
            for wanted in (n, str(n), 2**60 + n, {"gt": 2**60 + n - 1}, n % 2 == 0):
                assert [p.id for p in empty.scroll({key: wanted})] == [records[n].passage.id], key
            assert empty.count({key: n + 1}) == 0
            assert empty.get([records[n].passage.id]) == [records[n].passage]
        assert empty.delete(filters={KEYS[-1]: len(KEYS) - 1}) == 1

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ({"k": 2**63}, r"'k' is 9223372036854775808, beyond 64 bits"),
            ({"k": [1, -(2**63) - 1]}, "'k' is -9223372036854775809"),
            ({"k": 10**5000}, "'k' is .*thousands of digits"),
            ({"k": [math.inf]}, "'k' is inf"),
            ({"k": {"a": math.nan}}, "'k' is nan"),
            ({"k": ["\ud800"]}, "'k' holds the lone surrogate"),
            ({"k\ud800": 1}, "holds the lone surrogate"),
            ({"": 1}, "'' is an empty name"),
            ({3: 1}, "'3' is a int; names of fields are strings"),
            ({"k": b"x"}, "'k' is a bytes"),
            ({"k": np.float32(1)}, "'k' is a float32"),
            ({"k": eval("[" * 40 + "]" * 40)}, "'k' is nested more than 32 deep"),
            ([], "expected a mapping"),
        ],
    )
    def test_metadata_that_no_store_takes(
        self, empty: Store, metadata: object, message: str
    ) -> None:
        bad = replace(RECORDS[1].passage, metadata=metadata)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"metadata of 'doc0\.md'.*" + message):
            empty.upsert([RECORDS[0], replace(RECORDS[1], passage=bad)])
        assert empty.count() == 0

    # Bad input

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_no_half_of_a_batch_with_a_bad_number_is_stored(
        self, empty: Store, value: float
    ) -> None:
        good, other = RECORDS[0], RECORDS[1]
        dense = other.dense.copy()
        dense[3] = value
        with pytest.raises(InputError, match=r"doc0\.md.*NaN"):
            empty.upsert([good, Record(other.passage, dense, other.sparse)])
        with pytest.raises(InputError, match=r"doc0\.md.*NaN"):
            empty.upsert([good, Record(other.passage, other.dense, SparseVector((1,), (value,)))])
        assert empty.count() == 0
        with pytest.raises(InputError, match="NaN"):
            empty.search_dense(dense[None], limit=3)
        with pytest.raises(InputError, match="NaN"):
            empty.search_sparse([SparseVector((1,), (value,))], limit=3)

    def test_wrong_shapes_are_refused(self, empty: Store) -> None:
        good, other = RECORDS[0], RECORDS[1]
        with pytest.raises(InputError, match=r"\[7\].*vectors of 8"):
            empty.upsert([good, Record(other.passage, other.dense[:7], other.sparse)])
        with pytest.raises(InputError, match=r"\[1, 8\]"):
            empty.upsert([good, Record(other.passage, other.dense[None], other.sparse)])
        for sparse in (
            SparseVector((1, 1), (1.0, 2.0)),
            SparseVector((1,), ()),
            SparseVector((2**32,), (1.0,)),
            SparseVector((-1,), (1.0,)),
        ):
            with pytest.raises(InputError, match="sparse vector"):
                empty.upsert([good, Record(other.passage, other.dense, sparse)])
        assert empty.count() == 0
        for shape in ((8,), (1, 7), (1, 1, 8)):
            with pytest.raises(InputError, match=r"expected \[queries, 8\]"):
                empty.search_dense(np.ones(shape, np.float32), limit=3)

    def test_what_is_not_text_is_refused(self, empty: Store) -> None:
        for bad in (
            Passage("a \ud800 b", "s.md"),
            Passage("a", "s\udcff.md"),
            Passage("a", "s.md", metadata={"k": "\ud800"}),
            Passage("a", "s.md", metadata={"k": math.nan}),
            Passage("a", "s.md", metadata={"k": object()}),  # type: ignore[dict-item]
        ):
            with pytest.raises(InputError, match=r"surrogate|metadata"):
                empty.upsert([RECORDS[0], Record(bad, RECORDS[1].dense, RECORDS[1].sparse)])
        assert empty.count() == 0

    def test_ids_are_uuids(self, store: Store) -> None:
        for call in (store.get, store.existing, store.delete):
            with pytest.raises(InputError, match="'nope' is not a passage id"):
                call(["nope"])

    # Identity, life cycle, threads

    def test_identity(self, store: Store) -> None:
        first = {"checkpoint": "abc", "dimension": 8, "chunking": {"tokens": 128, "é": None}}
        store.set_identity(first)
        assert store.identity() == first
        store.set_identity({"checkpoint": "def"})
        assert store.identity() == {"checkpoint": "def"}
        assert store.count() == len(RECORDS)
        with pytest.raises(InputError, match="not JSON"):
            store.set_identity({"x": object()})

    def test_flush_and_optimize_change_nothing_one_can_see(self, store: Store) -> None:
        query = np.ones((1, DIMENSION), np.float32)
        [before] = store.search_dense(query, limit=9)
        store.flush()
        store.optimize()
        store.flush()
        [after] = store.search_dense(query, limit=9)
        assert [item.passage for item in after] == [item.passage for item in before]
        assert [item.score for item in after] == pytest.approx([item.score for item in before])

    def test_a_closed_store_says_so(self, empty: Store) -> None:
        with empty as store:
            store.upsert(RECORDS)
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.count()
        with pytest.raises(StoreError, match="closed"):
            store.upsert(RECORDS)

    def test_threads(self, store: Store) -> None:
        errors: list[BaseException] = []

        def run(seed: int) -> None:
            try:
                for step in range(15):
                    record = make_record(1000 * seed + step, text=f"thread {seed} step {step}")
                    store.upsert([record])
                    [[best]] = store.search_dense(record.dense[None], limit=1)
                    assert best.passage == record.passage
                    query = ENCODER.query("thread refunds")
                    [found] = store.search_sparse([query], limit=500)
                    assert len(found) >= 3
                    if step % 5 == 0:
                        store.flush()
                    if step % 2:
                        assert store.delete([record.passage.id]) == 1
            except BaseException as error:  # noqa: BLE001 - raised in the main thread below
                errors.append(error)

        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert store.count() == len(RECORDS) + 4 * 8

    @pytest.mark.slow
    def test_ten_thousand_passages(self, empty: Store) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(10_000, DIMENSION)).astype(np.float32)
        empty.upsert(
            Record(Passage(f"number {n}", "s.md", start=n), vectors[n], SparseVector((n,), (1.0,)))
            for n in range(len(vectors))
        )
        assert empty.count() == len(vectors)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for query, found in zip(unit, empty.search_dense(unit[:5], limit=100), strict=False):
            cosine = unit @ query
            assert [f.score for f in found] == pytest.approx(np.sort(cosine)[:-101:-1], abs=1e-5)
        [[best]] = empty.search_sparse([SparseVector((77,), (1.0,))], limit=5)
        assert best.passage.text == "number 77"


def _fields(passage: Passage) -> dict[str, object]:
    return {name: getattr(passage, name) for name in passage.__dataclass_fields__}


def _weight(record: Record, stem: str) -> float:
    """BM25's weight of a term, written out again from the formula."""
    from unimoer_rag.retrieval.sparse import tokenize

    tokens = tokenize(record.passage.text)
    tf = tokens.count(stem)
    return tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(tokens) / ENCODER.average_length))
