"""Hub data sets through the real library, from folders that it reads in the same way."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.data import Labelled
from unimoer_rag.data.groups import open_rows
from unimoer_rag.data.hub import open_hub
from unimoer_rag.data.jsonl_rows import JsonlRows
from unimoer_rag.data.labelled import LabelledRows
from unimoer_rag.data.source_settings import HubSource
from unimoer_rag.errors import DataError

datasets = pytest.importorskip("datasets")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cached_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The library's cache in a folder of the test, and no bars."""
    cache = tmp_path / "hf"
    for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
        monkeypatch.setattr(datasets.config, name, cache)
    datasets.disable_progress_bars()
    yield cache
    datasets.enable_progress_bars()


def source(**settings: Any) -> HubSource:
    return HubSource.model_validate({"format": "hub", "repo": "./set", **settings})


@pytest.fixture
def triples(tmp_path: Path) -> Path:
    rows = {
        "anchor": [f"question {n}" for n in range(5)],
        "positive": [f"answer {n}" for n in range(5)],
        "negative": [f"nonsense {n}" for n in range(5)],
    }
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "set" / "train-00000.parquet")
    return tmp_path


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_becomes_groups(triples: Path, tmp_path: Path, streaming: bool) -> None:
    cache = tmp_path / "cache"
    rows = open_hub(source(streaming=streaming), data=triples, cache=cache)
    assert isinstance(rows, JsonlRows) == streaming
    found = open_rows("set", rows, cache=cache)
    assert [group.query for group in found.groups] == [f"question {n}" for n in range(5)]
    group = found.groups[3]
    assert [found.texts[at] for at in (group.positive, *group.negatives)] == [
        "answer 3",
        "nonsense 3",
    ]
    some = open_hub(source(streaming=streaming, rows=2), data=triples, cache=cache)
    assert len(some) == 2
    assert some.digest != rows.digest


def test_a_stream_is_stored_once(triples: Path, tmp_path: Path) -> None:
    first = open_hub(source(streaming=True), data=triples, cache=tmp_path / "cache")
    (stored,) = (tmp_path / "cache").iterdir()
    stamp = stored.stat().st_mtime_ns
    again = open_hub(source(streaming=True), data=triples, cache=tmp_path / "cache")
    assert again.digest == first.digest
    assert stored.stat().st_mtime_ns == stamp
    # Another content of the folder is another data set.
    other = datasets.Dataset.from_dict({"anchor": ["q"], "positive": ["p"], "negative": ["n"]})
    other.to_parquet(triples / "set" / "train-00000.parquet")
    changed = open_hub(source(streaming=True), data=triples, cache=tmp_path / "cache")
    assert len(changed) == 1


@pytest.mark.parametrize("streaming", [False, True])
def test_numbers_of_classes_become_names(tmp_path: Path, streaming: bool) -> None:
    names = ["entailment", "neutral", "contradiction"]
    rows = {
        "premise": ["a", "b", "c", "d"],
        "hypothesis": ["e", "f", "g", "h"],
        "label": [2, 0, -1, 1],  # as in SNLI: nobody agreed on the third
    }
    features = datasets.Features(
        {
            "premise": datasets.Value("string"),
            "hypothesis": datasets.Value("string"),
            "label": datasets.ClassLabel(names=names),
        }
    )
    (tmp_path / "set").mkdir()
    made = datasets.Dataset.from_dict(rows, features=features)
    made.to_parquet(tmp_path / "set" / "dev-00000.parquet")
    # Without the features' own file the class names are in the Parquet file's metadata.
    config = source(split="validation", holds="labelled", streaming=streaming)
    found = LabelledRows(open_hub(config, data=tmp_path, cache=tmp_path / "cache"))
    assert list(found) == [
        Labelled("a", "e", "contradiction"),
        Labelled("b", "f", "entailment"),
        Labelled("d", "h", "neutral"),
    ]
    assert found.labels == {"contradiction": 1, "entailment": 1, "neutral": 1}


def test_jsonl_folders_and_other_columns(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    lines = [json.dumps({"q": "ask", "a": ["yes", "sure"]})]
    (tmp_path / "set" / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = source(columns={"query": "q", "positive": "a"})
    rows = open_hub(config, data=tmp_path, cache=tmp_path)
    found = open_rows("set", rows, cache=tmp_path / "index", columns=config.columns)
    assert [found.texts[at] for at in found.groups[0].relevant] == ["yes", "sure"]
    with pytest.raises(DataError, match=r"data set \./set, split 'train', row 0: it has no query"):
        open_rows("set", rows, cache=tmp_path / "index")


def test_what_is_not_there_is_named(triples: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder at .*elsewhere: repo is '\./elsewhere'"):
        open_hub(source(repo="./elsewhere"), data=triples, cache=tmp_path)
    with pytest.raises(DataError, match=r"split 'dev': .*Should be one of \['train'\]"):
        open_hub(source(split="dev"), data=triples, cache=tmp_path)
    with pytest.raises(DataError, match=r"cannot read the data set \./set.*check repo, revision"):
        open_hub(source(config="other"), data=triples, cache=tmp_path)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with HF_HUB_OFFLINE=1, which the libraries read when they are imported."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def refuse(*args: Any, **settings: Any) -> Any:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("streaming", [False, True])
def test_without_a_network_the_remedy_is_told(tmp_path: Path, streaming: bool) -> None:
    config = source(repo="owner/name", revision=COMMIT, streaming=streaming)
    with pytest.raises(
        DataError,
        match=r"cannot reach the data set owner/name@0123456789ab, split 'train' .*"
        rf"hf download owner/name --repo-type dataset --revision {COMMIT} .*give repo: \./name",
    ):
        open_hub(config, data=tmp_path, cache=tmp_path / "cache")


@pytest.mark.usefixtures("offline")
def test_another_cached_version_is_not_taken_for_the_pinned_one(
    triples: Path, tmp_path: Path, cached_apart: Path
) -> None:
    """Offline the library falls back on the newest version it has, whatever was asked for."""
    builder = datasets.load_dataset_builder(str(triples / "set"))
    builder.download_and_prepare()
    prepared = Path(builder.cache_dir)
    for commit in (COMMIT, "f" * 40):
        target = cached_apart / "owner___name" / "default" / "0.0.0" / commit
        shutil.copytree(prepared, target)
        for file in target.glob("*.arrow"):
            file.rename(target / file.name.replace(builder.dataset_name, "name"))
        info = json.loads((target / "dataset_info.json").read_text(encoding="utf-8"))
        info |= {"dataset_name": "name", "config_name": "default"}
        (target / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
        config = source(repo="owner/name", revision=COMMIT)
        if commit == COMMIT:
            assert len(open_hub(config, data=tmp_path, cache=tmp_path / "cache")) == 5
        else:
            with pytest.raises(DataError, match=f"only its version {commit} is here"):
                open_hub(config, data=tmp_path, cache=tmp_path / "cache")
