"""Data sets opened by name, from folders and from official files."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from data.file_server import FileServer, serving, serving_as_the_hub
from data.official_files import (
    BEIR_CORPUS,
    DPR,
    FLASHRAG,
    FLASHRAG_CORPUS,
    HOTPOTQA,
    NQ_OPEN,
    TRIVIAQA,
    lines,
    write,
)
from huggingface_hub import constants
from repository import ROOT, script
from tenacity import wait_none

from unimoer_rag.data.catalogue import KNOWN, Known, open_dataset, transfer
from unimoer_rag.data.catalogue.known import Split
from unimoer_rag.data.catalogue.missing import readable_size
from unimoer_rag.data.catalogue.remote import HubFile, HubFolder, WebFile
from unimoer_rag.errors import DataError, InputError


def beir_folder(folder: Path, *, split: str = "test") -> Path:
    write(folder / "corpus.jsonl", lines(BEIR_CORPUS))
    questions = [
        {"_id": "a", "text": "Were Scott and Ed of the same nationality"},
        {"_id": "b", "text": "what office did the woman of  Woodson hold?"},
        {"_id": "c", "text": "Who else?"},
    ]
    write(folder / "queries.jsonl", lines(questions))
    qrels = "query-id\tcorpus-id\tscore\na\t12\t1\na\t13\t1\nb\t14\t1\nc\t15\t1\n"
    write(folder / "qrels" / f"{split}.tsv", qrels)
    return folder


# -- the table ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_every_file_is_pinned_and_has_its_own_name(name: str) -> None:
    known = KNOWN[name]
    assert known.name == name
    assert known.licence
    for split in known.splits:
        files = known.files(split)
        for file in files:
            assert file.size > 0
            assert file.url.startswith(("https://", "http://curtis.ml.cmu.edu/"))
            if isinstance(file, WebFile):
                assert re.fullmatch("[0-9a-f]{64}|md5:[0-9a-f]{32}", file.digest)
            else:
                assert re.fullmatch("[0-9a-f]{40}", file.revision)
        names = [(file.local_name, getattr(file, "member", None)) for file in files]
        assert len(set(names)) == len(names)


def test_the_documentation_lists_them_with_their_splits() -> None:
    docs = ROOT / "docs"
    rows = [
        row
        for page in ("evaluation.md", "datasets.md")
        for row in re.findall(
            r"^\| `([a-z0-9][a-z0-9-]*)` \| ([a-z, ]+) \|",
            (docs / page).read_text("utf-8"),
            re.MULTILINE,
        )
    ]
    splits = {split for known in KNOWN.values() for split in known.splits}
    rows = [row for row in rows if splits.issuperset(row[1].split(", "))]  # of other tables
    assert rows == [(name, ", ".join(known.splits)) for name, known in KNOWN.items()]


def test_the_table_of_ranked_sets_is_what_its_script_writes() -> None:
    page = (ROOT / "docs" / "datasets.md").read_text("utf-8")
    assert page == script("generate_dataset_docs").render(page)


# -- files of one's own ---------------------------------------------------------------------


def test_hotpotqa_brings_its_passages(tmp_path: Path) -> None:
    dataset = open_dataset(data=str(write(tmp_path / "hotpot_dev_distractor_v1.json", HOTPOTQA)))
    assert (dataset.name, dataset.split) == ("hotpot_dev_distractor_v1", "all")
    assert len(dataset.corpus) == 5
    assert dataset.qrels["5a8b57f2"] == {"Scott": 1, "Ed": 1}
    assert dataset.golds["5a8b57f2"] == ("yes",)
    assert dataset.n_judged_outside == 0
    assert dataset.limit(1, seed=3).n_judged_outside == 0


def test_hotpotqa_over_a_corpus_of_articles_is_judged_by_title(tmp_path: Path) -> None:
    data = write(tmp_path / "hotpot_dev_fullwiki_v1.json", HOTPOTQA)
    passages = write(tmp_path / "corpus.jsonl", lines(BEIR_CORPUS[:-1]))
    dataset = open_dataset("hotpotqa-fullwiki", data=data, corpus=passages, split="dev")
    assert (dataset.name, dataset.split) == ("hotpotqa-fullwiki", "dev")
    assert dataset.qrels == {
        "5a8b57f2": {"13": 1, "12": 1},
        "5a8c7595": {"14": 1, "Woodson": 1},  # which this corpus lacks
    }
    assert dataset.n_judged_outside == 1


def test_titles_of_articles_in_pieces_judge_nothing(tmp_path: Path) -> None:
    pieces = [*BEIR_CORPUS, {"_id": "16", "title": "Ed", "text": "More of Ed."}]
    dataset = open_dataset(
        data=write(tmp_path / "dev.json", HOTPOTQA),
        corpus=write(tmp_path / "corpus.jsonl", lines(pieces)),
    )
    assert dataset.qrels == {}
    assert len(dataset.golds) == 2


@pytest.mark.parametrize(
    ("content", "passages", "golds"),
    [
        (lines(NQ_OPEN), DPR, {"1": ("14 days", "two weeks"), "2": ("The shop",)}),
        (
            lines(FLASHRAG),
            lines(FLASHRAG_CORPUS),
            {"test_0": ("14 days",), "test_1": ("the shop",)},
        ),
    ],
)
def test_questions_over_wikipedia_have_answers_and_no_judgements(
    tmp_path: Path, content: str, passages: str, golds: dict[str, tuple[str, ...]]
) -> None:
    dataset = open_dataset(
        data=write(tmp_path / "questions", content), corpus=write(tmp_path / "passages", passages)
    )
    assert dataset.golds == golds
    assert dataset.qrels == {}
    assert all(dataset.corpus[doc_id].source == doc_id for doc_id in dataset.corpus)


def test_triviaqa_with_its_aliases(tmp_path: Path) -> None:
    dataset = open_dataset(
        "triviaqa",
        data=write(tmp_path / "unfiltered-web-dev.json", TRIVIAQA),
        corpus=write(tmp_path / "psgs_w100.tsv", DPR),
    )
    assert dataset.name == "triviaqa"
    assert "sunset blvd" in dataset.golds["tc_1"]
    assert list(dataset.corpus) == ["1", "2", "3"]


def test_a_beir_folder_needs_no_split_where_there_is_one(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path / "own", split="dev")
    dataset = open_dataset(data=folder)
    assert (dataset.name, dataset.split, len(dataset.questions)) == ("own", "dev", 3)
    write(folder / "qrels" / "train.tsv", "a\t12\t1\n")
    with pytest.raises(DataError, match=r"no split 'test' but dev, train: .*--split dev"):
        open_dataset(data=folder)
    assert open_dataset("nq", data=folder, split="train").name == "nq"


# -- a known data set's files in a folder ----------------------------------------------------


def test_a_known_data_set_from_a_folder_gets_its_answers(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path / "hotpotqa")
    write(folder / "hotpot_dev_distractor_v1.json", HOTPOTQA)
    dataset = open_dataset("hotpotqa", data=folder)
    assert (dataset.name, dataset.split) == ("hotpotqa", "test")
    assert len(dataset.corpus) == 4
    assert dataset.qrels["a"] == {"12": 1, "13": 1}
    # Found by their words: case, spaces and question marks differ. One question is not in there.
    assert {q.id: q.answers for q in dataset.questions} == {
        "a": ("yes",),
        "b": ("Chief of Protocol",),
        "c": None,
    }


def test_answers_of_other_questions_are_refused(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path)
    write(folder / "NQ-open.dev.jsonl", lines(NQ_OPEN))
    with pytest.raises(DataError, match="answers none of the 3 questions of nq test"):
        open_dataset("nq", data=folder)


def test_an_official_file_and_its_passages_from_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "NQ-open.dev.jsonl", lines(NQ_OPEN))
    with pytest.raises(DataError, match=r"lacks psgs_w100\.tsv\.gz of nq-open"):
        open_dataset("nq-open", data=tmp_path)
    write(tmp_path / "psgs_w100.tsv", DPR)  # unpacked, which is as good
    dataset = open_dataset("nq-open", data=tmp_path)
    assert (dataset.name, dataset.split, len(dataset.corpus)) == ("nq-open", "dev", 3)


def test_an_unpacked_member_of_an_archive_is_found(tmp_path: Path) -> None:
    write(tmp_path / "triviaqa-unfiltered" / "unfiltered-web-dev.json", TRIVIAQA)
    dataset = open_dataset("triviaqa", data=tmp_path, corpus=write(tmp_path / "p.tsv", DPR))
    assert [q.id for q in dataset.questions] == ["tc_1", "tc_2"]


# -- by name --------------------------------------------------------------------------------


def test_a_known_data_set_from_the_cache(tmp_path: Path) -> None:
    """What the downloads leave is opened without a network."""
    known = KNOWN["hotpotqa-distractor"]
    (file,) = known.files("dev")
    assert isinstance(file, WebFile)
    assert file.here(tmp_path) is None
    write(file._target(tmp_path), HOTPOTQA)
    dataset = open_dataset("hotpotqa-distractor", cache=tmp_path)
    assert (dataset.name, dataset.split, len(dataset.questions)) == (
        "hotpotqa-distractor",
        "dev",
        2,
    )


def test_a_corpus_of_ones_own_spares_the_known_one(tmp_path: Path) -> None:
    known = KNOWN["nq-open"]
    (questions,) = (file for file in known.files("dev") if file != known.corpus)
    assert isinstance(questions, WebFile)
    write(questions._target(tmp_path), lines(NQ_OPEN))
    dataset = open_dataset("nq-open", corpus=write(tmp_path / "p.tsv", DPR), cache=tmp_path)
    assert len(dataset.corpus) == 3


@pytest.mark.parametrize("name", KNOWN)
def test_without_a_network_the_error_says_what_to_get(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(name, cache=tmp_path)
    said = str(caught.value)
    known = KNOWN[name]
    split = known.default_split
    assert "not on this machine, and HF_HUB_OFFLINE is set" in said
    for file in known.files(split):
        if isinstance(file, HubFolder):
            assert file.command(name) in said
        else:
            assert f"curl -fL -o {name}/{file.local_name} {file.url}" in said
    assert said.endswith(f"unimoer-rag eval {name} --data {name} --split {split}")


def test_the_commands_of_that_error_give_a_folder_that_opens(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset("hotpotqa", cache=tmp_path)
    made = re.search(r"mkdir -p (\S+)\n", str(caught.value))
    assert made is not None
    assert made[1] == "hotpotqa/qrels"
    named = set(re.findall(r"curl -fL -o hotpotqa/(\S+)", str(caught.value)))
    assert named == {
        "corpus.jsonl.gz",
        "queries.jsonl.gz",
        "qrels/test.tsv",
        "hotpot_dev_distractor_v1.json",
    }


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A data set known as "toy", whose two files lie on a server on this machine."""
    packed = gzip.compress(DPR.encode())
    contents = {"/NQ-open.toy.jsonl": lines(NQ_OPEN).encode(), "/psgs.tsv.gz": packed}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(transfer, "_WAIT", wait_none())
    with serving(FileServer(contents)) as server:
        questions, passages = (
            WebFile(server.url + path, hashlib.sha256(content).hexdigest(), len(content))
            for path, content in contents.items()
        )
        known = Known(
            name="toy",
            what="a toy",
            licence="none",
            splits={"dev": Split(questions=questions)},
            corpus=passages,
        )
        monkeypatch.setitem(cast("dict[str, Known]", KNOWN), "toy", known)
        yield server


def test_a_data_set_is_downloaded_once(toy: FileServer, tmp_path: Path) -> None:
    dataset = open_dataset("toy", cache=tmp_path)
    assert (dataset.name, dataset.split) == ("toy", "dev")
    assert len(dataset.corpus) == 3
    assert dataset.golds["2"] == ("The shop",)
    assert open_dataset("toy", cache=tmp_path).questions == dataset.questions
    assert sorted(path for path, _ in toy.asked) == ["/NQ-open.toy.jsonl", "/psgs.tsv.gz"]


def test_beir_from_the_hub_with_answers_from_the_web(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path / "files")
    contents = {
        "corpus.jsonl.gz": gzip.compress((folder / "corpus.jsonl").read_bytes()),
        "queries.jsonl.gz": gzip.compress((folder / "queries.jsonl").read_bytes()),
        "test.tsv": (folder / "qrels" / "test.tsv").read_bytes(),
    }
    on_hub, on_web = {}, []
    for file in KNOWN["hotpotqa"].files("test"):
        if isinstance(file, HubFile):
            address = file.url.removeprefix("https://huggingface.co/datasets/")
            on_hub[address] = contents[file.path]
        else:
            on_web.append(file)
    (answers,) = on_web
    cache = tmp_path / "cache"
    write(answers._target(cache), HOTPOTQA)
    with serving_as_the_hub(on_hub) as hub:
        dataset = open_dataset("hotpotqa", cache=cache)
        # The Hub's client may ask for something of its own besides.
        assert sum("/resolve/" in path for path, _ in hub.asked) == 3
    assert dataset.qrels == {"a": {"12": 1, "13": 1}, "b": {"14": 1}, "c": {"15": 1}}
    assert dataset.golds == {"a": ("yes",), "b": ("Chief of Protocol",)}
    # The next time nothing is asked for, as without a network.
    assert open_dataset("hotpotqa", cache=cache).questions == dataset.questions


def test_a_server_in_trouble_is_told_with_what_to_get(toy: FileServer, tmp_path: Path) -> None:
    toy.statuses = [503] * 5
    with pytest.raises(DataError) as caught:
        open_dataset("toy", cache=tmp_path)
    said = str(caught.value)
    assert "status 503" in said
    assert f"curl -fL -o toy/NQ-open.toy.jsonl {toy.url}/NQ-open.toy.jsonl" in said
    assert open_dataset("toy", cache=tmp_path).name == "toy"


def test_a_file_that_changed_on_its_server_is_refused(toy: FileServer, tmp_path: Path) -> None:
    toy.files["/NQ-open.toy.jsonl"] += b"\n"
    with pytest.raises(DataError, match="gave a file with SHA-256"):
        open_dataset("toy", cache=tmp_path)


# -- mistakes -------------------------------------------------------------------------------


def test_nothing_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"give the name of a data set \(nq, .*--data"):
        open_dataset()


@pytest.mark.parametrize("name", ["nqq", "NQ", ""])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match=rf"no data set is known as '{name}': expected one of nq,"):
        open_dataset(name)


def test_unknown_splits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nq has no split 'dev'; splits there: test"):
        open_dataset("nq", split="dev", cache=tmp_path)


def test_questions_without_passages(tmp_path: Path) -> None:
    data = write(tmp_path / "NQ-open.dev.jsonl", lines(NQ_OPEN))
    with pytest.raises(DataError, match=r"questions without passages: .*--corpus .*psgs_w100"):
        open_dataset(data=data)


def test_files_in_each_others_place(tmp_path: Path) -> None:
    questions = write(tmp_path / "questions", lines(NQ_OPEN))
    passages = write(tmp_path / "passages", DPR)
    with pytest.raises(DataError, match=r"holds passages \(DPR passages\), not questions"):
        open_dataset(data=passages)
    with pytest.raises(DataError, match=r"holds questions \(NQ-open\), not passages"):
        open_dataset(data=questions, corpus=questions)
    with pytest.raises(InputError, match="has a corpus of its own"):
        open_dataset(data=beir_folder(tmp_path / "beir"), corpus=passages)
    folder = beir_folder(tmp_path / "hotpotqa")
    write(folder / "hotpot_dev_distractor_v1.json", HOTPOTQA)
    with pytest.raises(InputError, match="judged over its own passages"):
        open_dataset("hotpotqa", data=folder, corpus=passages)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data at .*nowhere"):
        open_dataset(data=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"cannot read .*none"):
        open_dataset(data=write(tmp_path / "nq", lines(NQ_OPEN)), corpus=tmp_path / "none")
    with pytest.raises(DataError, match="holds no questions"):
        open_dataset(data=write(tmp_path / "empty.json", '{"Data": []}'))


def test_sizes() -> None:
    assert [readable_size(n) for n in (12, 87_100, 498_000_000, 5_130_719_280)] == [
        "12 bytes",
        "87.1 kB",
        "498 MB",
        "5.13 GB",
    ]


def test_hub_files_know_their_page() -> None:
    file = HubFile("owner/set", "f" * 40, "a/b.jsonl", 1)
    assert file.local_name == "b.jsonl"
    assert file.url == f"https://huggingface.co/datasets/owner/set/resolve/{'f' * 40}/a/b.jsonl"
