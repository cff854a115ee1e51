"""What came of a data set whose pins nobody here could check, held against what is known of it."""

from __future__ import annotations

import json
from pathlib import Path

from unimoer_rag.data.catalogue.sets import Counts
from unimoer_rag.data.corpora import cache_folder
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.data.fingerprint import corpus_sha256, questions_sha256
from unimoer_rag.errors import DataError
from unimoer_rag.files import write_file

__all__ = ["check_counts", "check_digests"]


def check_counts(dataset: BeirDataset, counts: Counts) -> None:
    """Refuse a data set that holds more or less than was published of it.

    Raises:
        DataError: names what differs.
    """
    found = Counts(
        passages=len(dataset.corpus),
        questions=len(dataset.questions),
        relevant=sum(grade > 0 for grades in dataset.qrels.values() for grade in grades.values()),
    )
    if found != counts:
        raise DataError(
            f"{dataset.name} {dataset.split} holds {_told(found)}, expected {_told(counts)}: its "
            "files are not those of the pinned version, or not all of them are here"
        )


def check_digests(dataset: BeirDataset, cache: Path | None) -> None:
    """Record what a data set held when it was first opened, and refuse anything else later.

    Args:
        dataset: as it was read.
        cache: see `cache_folder`.

    Raises:
        DataError: it is another than the first time.
    """
    found = {"corpus": corpus_sha256(dataset), "questions": questions_sha256(dataset)}
    record = cache_folder("digests", cache) / f"{dataset.name}-{dataset.split}.json"
    if not record.is_file():
        record.parent.mkdir(parents=True, exist_ok=True)
        write_file(record, json.dumps(found, indent=1).encode())
        return
    first = json.loads(record.read_text("utf-8"))
    changed = [part for part, digest in found.items() if first.get(part) != digest]
    if changed:
        raise DataError(
            f"{dataset.name} {dataset.split} is not what was first downloaded: the "
            f"{' and the '.join(changed)} differ from the digests in {record}; get its files "
            "again, or delete that file if the new ones are meant"
        )


def _told(counts: Counts) -> str:
    return (
        f"{counts.passages:,} passages, {counts.questions:,} questions and {counts.relevant:,} "
        "relevant judgements"
    )
