"""A benchmark of several data sets: one after the other, resumed, and its mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from training.toy import write_beir

from unimoer_rag.data import BeirDataset, Suite, load_beir
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation import EvalOptions, SuiteResult, build_system, evaluate_suite

TOY = Suite("toy", "a toy", {"one": ("one",), "forums": ("a", "b")})
OPTIONS = EvalOptions(parts=("retrieval",), mode="sparse", n_timed=0)
# Of each set, how many of its two questions find their document by a word of it.
FOUND = {"one": 2, "a": 2, "b": 1}


@pytest.fixture
def sets(tmp_path: Path) -> Callable[[str], BeirDataset]:
    corpus = [
        {"_id": "d0", "text": "refunds take two weeks"},
        {"_id": "d1", "text": "tents are rented by the day"},
    ]

    def open_set(name: str) -> BeirDataset:
        words = ["refunds", "tents" if FOUND[name] == 2 else "nothing"]
        asked = [{"_id": f"q{at}", "text": f"tell of {word}"} for at, word in enumerate(words)]
        qrels = [(f"q{at}", f"d{at}", 1) for at in range(2)]
        return load_beir(write_beir(tmp_path / name, "test", corpus, asked, qrels), "test")

    return open_set


@pytest.mark.slow
def test_every_set_is_measured_once_and_the_mean_is_of_the_members(
    sets: Callable[[str], BeirDataset], tmp_path: Path
) -> None:
    opened: list[str] = []

    def open_set(name: str) -> BeirDataset:
        if len(opened) == 2:
            raise KeyboardInterrupt
        opened.append(name)
        return sets(name)

    bm25, folder = build_system("bm25"), tmp_path / "results"
    with pytest.raises(KeyboardInterrupt):
        evaluate_suite(TOY, bm25, open_set, folder=folder, options=OPTIONS)
    assert {path.name for path in folder.iterdir()} == {"settings.json", "one.json", "a.json"}

    again: list[str] = []
    told: list[str] = []
    found = evaluate_suite(
        TOY,
        bm25,
        lambda name: (again.append(name), sets(name))[1],
        folder=folder,
        options=OPTIONS,
        on_progress=lambda what, *_: told.append(what),
        on_result=lambda name, _: told.append(name),
    )
    assert (opened, again) == (["one", "a"], ["b"])
    assert [what for what in told if ":" not in what] == ["one", "a", "b"]
    assert "b: searching" in told
    # Twelve forums, or two, count as one figure: the mean of theirs.
    assert found.figures("retrieval") == {"one": 100.0, "forums": 75.0}
    assert found.mean("retrieval") == 87.5
    assert found.figures("rerank") == {}
    assert found.mean("rerank") is None
    written = json.loads(json.dumps(found.to_dict()))
    assert written["mean"] == {"retrieval": 87.5, "rerank": None}
    assert written["results"].keys() == {"one", "a", "b"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "other"),
    [({"limit": 1}, "limit"), ({"options": replace(OPTIONS, seed=1)}, "seed")],
)
def test_results_of_something_else_are_not_gone_on_with(
    sets: Callable[[str], BeirDataset], tmp_path: Path, change: dict[str, object], other: str
) -> None:
    one = Suite("toy", "a toy", {"one": ("one",)})
    given = {"folder": tmp_path / "results", "options": OPTIONS}
    evaluate_suite(one, build_system("bm25"), sets, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"keeps results of another {other} .*--results"):
        evaluate_suite(one, build_system("bm25"), sets, **given | change)  # type: ignore[arg-type]


def test_published_figures_stand_beside(tmp_path: Path) -> None:
    from unimoer_rag.data import SUITES, published

    empty = SuiteResult(SUITES["beir"], {}, published("beir"))
    rows = {row["system"]: row for row in empty.to_dict()["published"]}
    assert rows["all-MiniLM-L6-v2"]["mean"] == pytest.approx(41.95, abs=0.01)
    assert rows["BM25 (k1 0.9, b 0.4)"]["mean"] is None  # MS MARCO is not published with it
    assert "pyserini" in rows["BM25 (k1 0.9, b 0.4)"]["source"]
