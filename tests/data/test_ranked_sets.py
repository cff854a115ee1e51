"""Data sets that rankings are measured by, opened from tiny files in each source's layout."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from data.file_server import serving_as_the_hub
from data.official_files import lines, write
from data.repositories import (
    DOCUMENTS,
    QUESTIONS,
    bright_repository,
    holding,
    jsonl_repository,
    msmarco_archive,
    msmarco_v2_archive,
    nano_folder,
    parquet,
    parquet_repository,
    served,
)
from huggingface_hub import constants

from unimoer_rag.data import check_suite
from unimoer_rag.data.catalogue import KNOWN, open_dataset
from unimoer_rag.data.catalogue.known import SUITES, HubSplit
from unimoer_rag.data.catalogue.remote import HubFile, HubFolder
from unimoer_rag.data.formats.repository import table_files
from unimoer_rag.errors import DataError, InputError

# -- the table ------------------------------------------------------------------------------


def test_benchmarks_have_the_sets_that_their_authors_count() -> None:
    sizes = {name: len(suite.members) for name, suite in SUITES.items()}
    assert sizes == {"beir": 15, "nanobeir": 13, "cqadupstack": 12, "bright": 12, "trec-dl": 3}
    assert len(SUITES["beir"].names) == 14 + 12
    assert SUITES["beir"].members["cqadupstack"] == SUITES["cqadupstack"].names
    assert all(name in KNOWN for suite in SUITES.values() for name in suite.names)


def test_what_nobody_here_could_check_is_marked_and_counted() -> None:
    unchecked = [known for known in KNOWN.values() if not known.checked]
    assert len(unchecked) == 11 + 12 + 13 + 4 + 12 + 1
    for known in unchecked:
        assert all(files.counts is not None for files in known.splits.values())


def test_the_measures_of_the_benchmarks() -> None:
    assert KNOWN["msmarco"].measure == "RR@10"
    assert {known.measure for name, known in KNOWN.items() if name != "msmarco"} == {"nDCG@10"}


# -- each layout ----------------------------------------------------------------------------


@pytest.mark.parametrize("build", [jsonl_repository, parquet_repository])
def test_a_repository_of_mteb(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, build: object
) -> None:
    holding(monkeypatch, "arguana", 3, 2, 2)
    folder = build(tmp_path / "arguana")  # type: ignore[operator]
    dataset = open_dataset("arguana", data=folder, cache=tmp_path)
    assert (dataset.name, dataset.split) == ("arguana", "test")
    assert [q.id for q in dataset.questions] == ["q1", "q2"]  # those of the split
    assert dataset.qrels == {"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 2}}
    # Title, a space and text, as BEIR joins them; without a title, the text.
    assert dataset.content("d1") == "Refunds Refunds take 14 days."
    assert dataset.content("d2") == "Tents are rented by the day."
    assert dataset.own_documents == {"q2"}


def test_both_layouts_are_the_same_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The digest that the first download leaves does not depend on who packed the rows."""
    holding(monkeypatch, "scifact", 3, 2, 2)
    open_dataset("scifact", data=jsonl_repository(tmp_path / "a"), cache=tmp_path)
    open_dataset("scifact", data=parquet_repository(tmp_path / "b"), cache=tmp_path)
    changed = jsonl_repository(tmp_path / "c")
    write(changed / "corpus.jsonl", lines([dict(DOCUMENTS[0], text="Ten days."), *DOCUMENTS[1:]]))
    with pytest.raises(DataError, match=r"is not what was first downloaded: the corpus differ"):
        open_dataset("scifact", data=changed, cache=tmp_path)


def test_beirs_own_archive_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "scifact"
    write(folder / "corpus.jsonl", lines(DOCUMENTS))
    write(folder / "queries.jsonl", lines(QUESTIONS))
    write(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\tq2\t1\n")
    dataset = open_dataset("scifact", data=folder, cache=tmp_path)
    assert dataset.content("d1") == "Refunds Refunds take 14 days."
    # BEIR's rule is one for all, whether or not the document is judged.
    assert dataset.ignore_identical_ids
    assert dataset.without_own("q2", {"q2": 1.0, "d1": 0.5}) == {"d1": 0.5}


def test_bright_leaves_its_excluded_documents_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    holding(monkeypatch, "bright-pony", 4, 2, 3)
    dataset = open_dataset("bright-pony", data=bright_repository(tmp_path / "b"), cache=tmp_path)
    assert dataset.qrels == {"0": {"pony/0.txt": 1, "pony/1.txt": 1}, "1": {"pony/2.txt": 1}}
    assert dataset.content("pony/3.txt") == "passage 3"
    assert dataset.excluded == {"1": {"pony/3.txt", "pony/gone.txt"}}
    found = {f"pony/{at}.txt": 1.0 - at / 10 for at in range(4)}
    assert list(dataset.without_own("0", found)) == list(found)
    assert list(dataset.without_own("1", found)) == [f"pony/{at}.txt" for at in range(3)]
    assert dataset.most_left_out == 2


def test_a_nano_set_has_no_grades(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holding(monkeypatch, "nano-scifact", 3, 2, 2)
    dataset = open_dataset("nano-scifact", data=nano_folder(tmp_path / "n"), cache=tmp_path)
    assert dataset.qrels == {"q1": {"d1": 1}, "q2": {"d2": 1}}
    assert dataset.content("d1") == "Refunds take 14 days."


def test_msmarco_from_its_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holding(monkeypatch, "msmarco", 3, 2, 2)
    folder = tmp_path / "msmarco"
    folder.mkdir()
    msmarco_archive(folder / "collectionandqueries.tar.gz")
    dataset = open_dataset("msmarco", data=folder, cache=tmp_path)
    assert dataset.split == "dev"
    assert dataset.qrels == {"7": {"0": 1}, "9": {"1": 1}}
    assert dataset.content("1") == "Tents are rented."
    # Question 7 and passage 7 have a number in common, and nothing else.
    assert dataset.own_documents == frozenset()
    (folder / "collectionandqueries.tar.gz").unlink()  # its members are there by now
    assert open_dataset("msmarco", data=folder, cache=tmp_path).questions == dataset.questions


def test_trec_dl_with_grades_of_nist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holding(monkeypatch, "trec-dl-2019", 3, 1, 2)
    folder = tmp_path / "dl"
    write(folder / "collection.tsv", "0\tRefunds take 14 days.\n1\tTents.\n2\tBoats.\n")
    write(folder / "msmarco-test2019-queries.tsv", "7\thow long\n8\tnobody judged this\n")
    write(folder / "2019qrels-pass.txt", "7 Q0 0 3\n7 Q0 1 1\n7 Q0 2 0\n")
    dataset = open_dataset("trec-dl-2019", data=folder, cache=tmp_path)
    assert [q.id for q in dataset.questions] == ["7"]
    assert dataset.qrels == {"7": {"0": 3, "1": 1, "2": 0}}
    assert dataset.relevance_level == 2


def test_trec_dl_2021_reads_the_passages_out_of_their_archive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    holding(monkeypatch, "trec-dl-2021", 3, 1, 1)
    folder = tmp_path / "dl"
    folder.mkdir()
    msmarco_v2_archive(folder / "msmarco_v2_passage.tar")
    write(folder / "2021_queries.tsv", "7\thow long\n")
    write(folder / "2021.qrels.pass.final.txt", "7 0 msmarco_passage_00_0 3\n")
    dataset = open_dataset("trec-dl-2021", data=folder, cache=tmp_path)
    assert [*dataset.corpus] == [
        "msmarco_passage_00_0",
        "msmarco_passage_00_1",
        "msmarco_passage_01_0",
    ]
    assert dataset.content("msmarco_passage_01_0") == "Boats."
    damaged = (folder / "msmarco_v2_passage.tar").read_bytes()[:1084]
    (folder / "msmarco_v2_passage.tar").write_bytes(damaged)
    with pytest.raises(DataError, match=r"msmarco_v2_passage\.tar: a damaged"):
        open_dataset("trec-dl-2021", data=folder, cache=tmp_path)


def test_of_a_large_collection_only_what_a_run_ranks_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    holding(monkeypatch, "trec-dl-2021", 138_364_198, 1, 1)  # as many as there really are
    folder = tmp_path / "dl"
    folder.mkdir()
    msmarco_v2_archive(folder / "msmarco_v2_passage.tar")
    write(folder / "2021_queries.tsv", "7\thow long\n")
    write(folder / "2021.qrels.pass.final.txt", "7 0 msmarco_passage_00_0 3\n")
    ranked = {"msmarco_passage_01_0"}
    dataset = open_dataset("trec-dl-2021", data=folder, only=ranked, cache=tmp_path / "cache")
    assert [*dataset.corpus] == ["msmarco_passage_00_0", "msmarco_passage_01_0"]
    assert not (tmp_path / "cache").exists()  # nothing was stored
    holding(monkeypatch, "trec-dl-2021", 3, 1, 1)
    small = open_dataset("trec-dl-2021", data=folder, only=ranked, cache=tmp_path / "cache")
    assert len(small.corpus) == 3


# -- what comes is held against what is known ------------------------------------------------


def test_a_set_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    folder = jsonl_repository(tmp_path / "scifact")
    with pytest.raises(
        DataError, match=r"scifact test holds 3 passages, 2 questions and 2 .*expected 5,183 pass"
    ):
        open_dataset("scifact", data=folder, cache=tmp_path)


def test_a_repository_comes_from_the_hub_whole_and_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = holding(monkeypatch, "scifact", 3, 2, 2)
    files = known.splits["test"]
    assert isinstance(files, HubSplit)
    repository = jsonl_repository(tmp_path / "repository")
    contents, listing = served(repository, files.folder.repo, files.folder.revision)
    told: list[tuple[str, int, int]] = []
    cache = tmp_path / "cache"
    with serving_as_the_hub(contents, listing):
        dataset = open_dataset("scifact", cache=cache, on_progress=lambda *w: told.append(w))
    assert len(dataset.corpus) == 3
    size = sum(map(len, contents.values()))
    assert (files.folder.repo, size, size) in told
    # The next time nothing is asked for, as without a network.
    assert open_dataset("scifact", cache=cache).questions == dataset.questions


def test_only_the_part_of_a_repository_that_is_needed_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = holding(monkeypatch, "bright-pony", 4, 2, 3)
    (folder,) = known.files("test")
    assert isinstance(folder, HubFolder)
    repository = bright_repository(bright_repository(tmp_path / "r"), "aops")
    contents, listing = served(repository, folder.repo, folder.revision)
    with serving_as_the_hub(contents, listing):
        assert open_dataset("bright-pony", cache=tmp_path / "cache").excluded
    here = folder.here(tmp_path / "cache")
    assert here is not None
    assert {path.name for path in here.rglob("*.parquet")} == {"pony-00000-of-00001.parquet"}


def test_a_file_with_another_md5_is_refused(tmp_path: Path) -> None:
    content = b"PAR1"
    right = hashlib.md5(content).hexdigest()
    address = f"owner/set/resolve/{'0' * 40}/a.parquet"
    with serving_as_the_hub({address: content}):
        file = HubFile("owner/set", "0" * 40, "a.parquet", 4, md5=right)
        assert file.fetch(tmp_path).read_bytes() == content
        other = replace(file, md5="0" * 32)
        with pytest.raises(DataError, match=f"gave a file with MD5 {right}, expected 0000"):
            other.fetch(tmp_path / "other")
    assert other.here(tmp_path / "other") is None


def test_the_name_of_a_benchmark_is_no_data_set() -> None:
    with pytest.raises(InputError, match=r"nanobeir is NanoBEIR's thirteen: name one of nano-arg"):
        open_dataset("nanobeir")


# -- tables of a repository ------------------------------------------------------------------


def test_a_table_without_a_declaration_is_found_by_its_name(tmp_path: Path) -> None:
    folder = parquet_repository(tmp_path)
    (folder / "README.md").unlink()
    parts = table_files(folder, ("corpus",), "test")
    assert [path.name for path in parts] == [
        "test-00000-of-00002.parquet",
        "test-00001-of-00002.parquet",
    ]
    assert table_files(folder, ("default", "qrels"), "test")[0].parent.name == "qrels"


@pytest.mark.parametrize(
    ("data_files", "found"),
    [
        ("corpus/test-*", 2),
        ("[corpus/test-00000-of-00002.parquet, corpus/test-00001-of-00002.parquet]", 2),
        ("[{split: anything, path: [corpus/test-*]}]", 2),
        ("[{split: test, path: queries/test-*}, {split: other, path: corpus/test-*}]", 1),
    ],
)
def test_the_ways_to_declare_files(tmp_path: Path, data_files: str, found: int) -> None:
    folder = parquet_repository(tmp_path)
    readme = f"---\nconfigs:\n- config_name: corpus\n  data_files: {data_files}\n---\n"
    write(folder / "README.md", readme)
    assert len(table_files(folder, ("corpus",), "test")) == found


def test_what_is_missing_of_a_table_is_named(tmp_path: Path) -> None:
    folder = parquet_repository(tmp_path / "set")
    (folder / "corpus" / "test-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks test-00001-of-00002\.parquet, a part of the table"):
        table_files(folder, ("corpus",), "test")
    with pytest.raises(DataError, match=r"no table answers with the split 'test'.*corpus, qrels,"):
        table_files(folder, ("answers",), "test")


def test_a_declaration_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "secret.jsonl", "{}")
    readme = "---\nconfigs:\n- config_name: corpus\n  data_files: ../secret.jsonl\n---\n"
    write(tmp_path / "set" / "README.md", readme)
    for path in ("../secret.jsonl", "''", "[7, {split: test}]", "{split: test, path: {}}"):
        write(tmp_path / "set" / "README.md", readme.replace("../secret.jsonl", path))
        with pytest.raises(DataError, match="no table corpus"):
            table_files(tmp_path / "set", ("corpus",), "test")


def test_damaged_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holding(monkeypatch, "nano-nq", 3, 2, 2)
    folder = nano_folder(tmp_path / "nano")
    content = (folder / "corpus.parquet").read_bytes()
    (folder / "corpus.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cannot read the Parquet file .*corpus\.parquet"):
        open_dataset("nano-nq", data=folder, cache=tmp_path)
    latin = pyarrow.array([b"caf\xe9"]).view(pyarrow.string())
    broken = pyarrow.table({"_id": ["d"], "text": latin})
    pyarrow.parquet.write_table(broken, folder / "corpus.parquet")
    with pytest.raises(DataError, match=r"cannot read the Parquet file .*codec can't decode"):
        open_dataset("nano-nq", data=folder, cache=tmp_path)
    parquet(folder / "corpus.parquet", [{"_id": "d", "text": None}])
    with pytest.raises(DataError, match=r"corpus\.parquet, line 1: found text None"):
        open_dataset("nano-nq", data=folder, cache=tmp_path)
    nano_folder(folder)
    parquet(folder / "qrels.parquet", [{"query-id": "q1", "corpus-id": "d1", "score": 0.5}])
    with pytest.raises(DataError, match=r"found the grade 0\.5; expected an integer"):
        open_dataset("nano-nq", data=folder, cache=tmp_path)


# -- benchmarks ------------------------------------------------------------------------------


def test_without_a_network_a_benchmark_says_all_that_it_needs(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        check_suite(SUITES["beir"], cache=tmp_path)
    said = str(caught.value)
    assert "26 of 26 data sets of beir are not on this machine, and HF_HUB_OFFLINE is set" in said
    for name in SUITES["beir"].names:
        known = KNOWN[name]
        for file in known.files(known.default_split):
            if isinstance(file, HubFolder):
                assert f"{file.repo} --repo-type dataset --revision {file.revision}" in said
            else:
                assert file.url in said
    assert said.count("collectionandqueries.tar.gz https") == 1  # three members of one archive
    assert "eval beir --data beir" in said
    assert "HF_HOME" in said


def test_a_folder_that_lacks_sets_is_told_which(tmp_path: Path) -> None:
    (tmp_path / "nano-arguana").mkdir()
    with pytest.raises(DataError, match="lacks nano-climate-fever, nano-dbpedia, nano-fever and"):
        check_suite(SUITES["nanobeir"], data=tmp_path)
    for name in SUITES["nanobeir"].names:
        (tmp_path / name).mkdir(exist_ok=True)
    assert check_suite(SUITES["nanobeir"], data=tmp_path) == 0


def test_what_a_benchmark_would_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    of_one = KNOWN["trec-dl-2019"].files("test")[0].size
    whole = check_suite(SUITES["trec-dl"], cache=tmp_path)
    assert of_one < whole < 24_000_000_000  # the collection of 2019 and 2020 once
