"""Tiny data sets in the layouts of the repositories and archives that the catalogue names."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from data.official_files import lines, write

from unimoer_rag.data.catalogue.known import KNOWN, Counts, Known

DOCUMENTS = [
    {"_id": "d1", "title": "Refunds", "text": "Refunds take 14 days."},
    {"_id": "d2", "title": "", "text": "Tents are rented by the day."},
    {"_id": "q2", "title": "Boats", "text": "Boats are not rented."},
]
QUESTIONS = [
    {"_id": "q1", "text": "how long do refunds take"},
    {"_id": "q2", "text": "what is rented"},
    {"_id": "q3", "text": "who is asked in another split"},
]
JUDGED = [("q1", "d1", 1), ("q1", "d2", 0), ("q2", "d2", 2)]

# What the README of a repository on the Hub begins with: mteb's of JSONL files, word for word in
# what is read of it.
JSONL_README = """---
language:
- en
configs:
- config_name: default
  data_files:
  - split: test
    path: qrels/test.jsonl
  - split: train
    path: qrels/train.jsonl
- config_name: corpus
  data_files:
  - split: corpus
    path: corpus.jsonl
- config_name: queries
  data_files:
  - split: queries
    path: queries.jsonl
---
# A data set
"""

PARQUET_README = """---
configs:
- config_name: corpus
  data_files:
  - split: test
    path: corpus/test-*
- config_name: qrels
  data_files:
  - split: test
    path: qrels/test-*
- config_name: queries
  data_files:
  - split: test
    path: queries/test-*
---
"""


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as the Hub's files have them."""
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def judgements(*, score: bool = True) -> list[dict[str, Any]]:
    """The rows of a table of judgements; NanoBEIR's have no grades."""
    if not score:
        return [{"query-id": q, "corpus-id": d} for q, d, grade in JUDGED if grade]
    return [{"query-id": q, "corpus-id": d, "score": float(grade)} for q, d, grade in JUDGED]


def jsonl_repository(folder: Path) -> Path:
    """As `mteb/arguana` lies on the Hub."""
    write(folder / "README.md", JSONL_README)
    write(folder / "corpus.jsonl", lines(DOCUMENTS))
    write(folder / "queries.jsonl", lines(QUESTIONS))
    write(folder / "qrels" / "test.jsonl", lines(judgements()))
    write(folder / "qrels" / "train.jsonl", lines([dict(judgements()[0], **{"query-id": "q3"})]))
    return folder


def parquet_repository(folder: Path) -> Path:
    """As newer data sets of mteb lie on the Hub, a large table in two parts."""
    write(folder / "README.md", PARQUET_README)
    renamed = [{"id": d["_id"], "title": d["title"], "text": d["text"]} for d in DOCUMENTS]
    parquet(folder / "corpus" / "test-00000-of-00002.parquet", renamed[:2])
    parquet(folder / "corpus" / "test-00001-of-00002.parquet", renamed[2:])
    asked = [{"id": q["_id"], "text": q["text"]} for q in QUESTIONS]
    parquet(folder / "queries" / "test-00000-of-00001.parquet", asked)
    parquet(folder / "qrels" / "test-00000-of-00001.parquet", judgements())
    return folder


def bright_repository(folder: Path, domain: str = "pony") -> Path:
    """As BRIGHT lies on the Hub: judgements and exclusions stand in the questions' rows."""
    name = f"{domain}-00000-of-00001.parquet"
    documents = [{"id": f"{domain}/{at}.txt", "content": f"passage {at}"} for at in range(4)]
    examples = [
        {
            "id": "0",
            "query": "a long post",
            "gold_ids": [f"{domain}/0.txt", f"{domain}/1.txt"],
            "excluded_ids": ["N/A"],
        },
        {
            "id": "1",
            "query": "another",
            "gold_ids": [f"{domain}/2.txt"],
            "excluded_ids": [f"{domain}/3.txt", f"{domain}/gone.txt"],
        },
    ]
    parquet(folder / "documents" / name, documents)
    parquet(folder / "examples" / name, examples)
    return folder


def nano_folder(folder: Path) -> Path:
    """A set of NanoBEIR, by the names that the error of missing files tells."""
    parquet(folder / "corpus.parquet", [{"_id": d["_id"], "text": d["text"]} for d in DOCUMENTS])
    parquet(folder / "queries.parquet", QUESTIONS)
    parquet(folder / "qrels.parquet", judgements(score=False))
    return folder


def msmarco_archive(path: Path) -> Path:
    """`collectionandqueries.tar.gz`."""
    members = {
        "collection.tsv": "0\tRefunds take 14 days.\n1\tTents are rented.\n7\tBoats are not.\n",
        "queries.dev.small.tsv": "7\thow long do refunds take\n9\twhat is rented\n",
        "qrels.dev.small.tsv": "7\t0\t0\t1\n9\t0\t1\t1\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        _add(archive, {name: text.encode() for name, text in members.items()})
    return path


def msmarco_v2_archive(path: Path) -> Path:
    """`msmarco_v2_passage.tar`: gzipped JSONL, some passages a file."""
    parts: dict[str, bytes] = {}
    for at, texts in enumerate((("Refunds take 14 days.", "Tents."), ("Boats.",))):
        rows = [
            {"pid": f"msmarco_passage_0{at}_{n}", "passage": text, "spans": "(0,1)", "docid": "x"}
            for n, text in enumerate(texts)
        ]
        packed = gzip.compress(lines(rows).encode())
        parts[f"msmarco_v2_passage/msmarco_passage_0{at}.gz"] = packed
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo("msmarco_v2_passage")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        _add(archive, parts)
    return path


def _add(archive: tarfile.TarFile, members: Mapping[str, bytes]) -> None:
    for name, content in members.items():
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def holding(monkeypatch: pytest.MonkeyPatch, name: str, *counts: int) -> Known:
    """Let a known set be one of so many passages, questions and relevant judgements."""
    known = KNOWN[name]
    split = known.default_split
    files = known.splits[split]
    changed = replace(files, counts=Counts(*counts))
    small = replace(known, splits={**known.splits, split: changed})
    monkeypatch.setitem(cast("dict[str, Known]", KNOWN), name, small)
    return small


def tree(folder: Path) -> list[dict[str, Any]]:
    """What the Hub's interface answers when it is asked for the files of a repository."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        {
            "type": "file",
            "oid": "0" * 40,
            "size": path.stat().st_size,
            "path": path.relative_to(folder).as_posix(),
        }
        for path in found
    ]


def served(folder: Path, repo: str, revision: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """A repository's files for `serving_as_the_hub`, and its listing."""
    listing = tree(folder)
    files = {
        f"{repo}/resolve/{revision}/{entry['path']}": (folder / entry["path"]).read_bytes()
        for entry in listing
    }
    api = {f"/api/datasets/{repo}/tree/{revision}": json.dumps(listing).encode()}
    return files, api
