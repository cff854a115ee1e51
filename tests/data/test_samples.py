"""A small data set out of a large one, and how long a large one takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data.official_files import lines, write
from model.tiny_models import make_model, save_backbone
from training.toy import write_toy

from unimoer_rag.data.catalogue import KNOWN, to_download
from unimoer_rag.data.samples import Sample, drawn
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import load_beir, open_dataset
from unimoer_rag.evaluation.estimate import Estimate, estimate_indexing
from unimoer_rag.evaluation.systems import Unified


def big(folder: Path, order: int = 1) -> Path:
    """Twenty questions with a passage each, and 180 other passages."""
    corpus = [{"_id": f"d{n}", "text": f"passage {n}"} for n in range(200)][::order]
    write(folder / "corpus.jsonl", lines(corpus))
    write(folder / "queries.jsonl", lines([{"_id": f"q{n}", "text": "?"} for n in range(20)]))
    write(folder / "qrels" / "test.tsv", "".join(f"q{n}\td{9 * n}\t1\n" for n in range(20)))
    return folder


def test_questions_keep_their_passages_and_get_some_others(tmp_path: Path) -> None:
    sample = Sample(questions=5, others=30)
    seen: list[tuple[str, int, int]] = []
    small = load_beir(
        big(tmp_path / "a"), sample=sample, on_progress=lambda *told: seen.append(told)
    )
    assert (len(small.questions), len(small.corpus), len(small.qrels)) == (5, 35, 5)
    assert all(doc_id in small.corpus for grades in small.qrels.values() for doc_id in grades)
    ids = list(small.corpus)
    assert ids == sorted(ids, key=lambda i: int(i[1:]))  # in the order of the file
    # Whatever that is, the same passages are drawn; and fewer are some of them.
    assert set(load_beir(big(tmp_path / "b", -1), sample=sample).corpus) == set(ids)
    fewer = load_beir(tmp_path / "a", sample=Sample(questions=5, others=10)).corpus
    assert set(fewer) < set(ids)
    everything = load_beir(tmp_path / "a", sample=Sample(questions=500, others=500))
    assert len(everything.corpus) == 200
    assert len(load_beir(tmp_path / "a", sample=Sample(questions=5, others=0)).corpus) == 5


def test_a_smaller_draw_is_a_part_of_a_larger_one() -> None:
    items = list("abcdefghij")
    assert set(drawn(items, 3)) < set(drawn(items, 6))
    assert drawn(items, 10) == items
    assert drawn(items, 3) == sorted(drawn(items, 3))


def test_nq_small_is_nq_in_little(tmp_path: Path) -> None:
    small, whole = KNOWN["nq-small"], KNOWN["nq"]
    assert small.files("test") == whole.files("test")
    assert small.sample == Sample(questions=300, others=20_000)
    folder = big(tmp_path)
    dataset = open_dataset("nq-small", data=folder)
    assert (dataset.name, dataset.answer_rules) == ("nq-small", "nq-open")
    assert len(dataset.questions) == 20
    assert to_download("nq-small", cache=tmp_path) == sum(f.size for f in whole.files("test"))


def test_a_folder_of_something_else_is_told_what_a_data_set_is(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Notes", encoding="utf-8")
    with pytest.raises(DataError, match=r"is no data set: expected corpus\.jsonl.*--own FOLDER"):
        load_beir(tmp_path)


@pytest.mark.slow
def test_an_estimate_is_measured_on_a_few_passages(tmp_path: Path) -> None:
    model = make_model(save_backbone("bert", tmp_path / "bert"))
    dataset = load_beir(write_toy(tmp_path / "toy", "dev"), "dev")
    found = estimate_indexing(Unified(model), dataset, first_stage="hybrid")
    assert found.passages == 24
    assert 0 < found.seconds < 600


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3.0, "about 1 minute"),
        (600.0, "about 10 minutes"),
        (25_560.0, "about 7.1 hours"),
        (1e6, "11.6 days"),
    ],
)
def test_an_estimate_in_words(seconds: float, words: str) -> None:
    told = str(Estimate(2_681_468, seconds))
    assert told.startswith("2,681,468 passages to index, ")
    assert words in told


def test_json_of_a_sample_is_read_once(tmp_path: Path) -> None:
    """A passage that comes twice among those kept is an error, as in a whole corpus."""
    folder = big(tmp_path)
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"_id": "d0", "text": "again"}) + "\n")
    with pytest.raises(DataError, match="'d0' a second time"):
        load_beir(folder, sample=Sample(questions=20, others=5))
