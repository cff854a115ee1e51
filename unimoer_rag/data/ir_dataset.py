"""Data sets of the library ir_datasets (extra `ir-datasets`), by its names for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from unimoer_rag.data.beir_rows import TOP_GRADE, Qrels, Question, relevance_level
from unimoer_rag.data.corpora import Placed, cache_folder, keep_corpus
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.extras import needs_extra
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Document, clean_text

__all__ = ["open_ir_dataset"]

# Where documents with a question's own id are left out, as in BEIR.
_BEIR = ("beir/", "nano-beir/")


def open_ir_dataset(
    name: str, *, cache: Path | None = None, on_progress: Progress = silent
) -> BeirDataset:
    """A data set of ir_datasets, which downloads it on first use (into `IR_DATASETS_HOME`).

    A document and a question are what the library calls their default text. Questions without
    judgements are left out, unless nothing is judged.

    Args:
        name: as `msmarco-passage/dev/small`.
        cache: where a large corpus is kept to be read from disk, see `open_corpus`.
        on_progress: see `open_corpus`.

    Raises:
        InputError: there is no such name, or it has no documents or no questions.
        DataError: the library cannot get or read it, or what it holds is malformed.
        MissingExtraError: ir_datasets is not installed.
    """
    with needs_extra("ir_datasets", "ir-datasets", "opening data sets of ir_datasets"):
        import ir_datasets
    try:
        found = ir_datasets.load(name)
    except KeyError as error:
        raise InputError(
            f"ir_datasets {ir_datasets.__version__} has no {name!r}: expected a name such as "
            "msmarco-passage/dev/small; https://ir-datasets.com lists them"
        ) from error
    if not found.has_docs() or not found.has_queries():
        lacks = "questions" if found.has_docs() else "documents"
        raise InputError(f"{name} has no {lacks}: name a part that has, such as {name}/test")
    try:
        return _opened(found, name, f":{name}:{ir_datasets.__version__}", cache, on_progress)
    except (DataError, InputError):
        raise
    except Exception as error:  # downloads and readers of many formats raise many kinds
        raise DataError(
            f"ir_datasets cannot give {name} ({type(error).__name__}: {error}): connect to the "
            "network for the first use, or bring the folder that IR_DATASETS_HOME names"
        ) from error


def _opened(
    found: Any, name: str, stamp: str, cache: Path | None, on_progress: Progress
) -> BeirDataset:
    qrels = _qrels(found.qrels_iter(), name) if found.has_qrels() else {}
    questions = [
        Question(id=clean_text(q.query_id), text=clean_text(q.default_text()))
        for q in found.queries_iter()
    ]
    if qrels:
        questions = [q for q in questions if q.id in qrels]
    if not questions:
        raise DataError(f"{name} judges none of its questions: name another part of it")
    # Parts of one data set share its documents.
    corpus = found.docs_namespace() or name
    digest = hashlib.sha256(corpus.encode()).hexdigest()[:16]
    return BeirDataset(
        name=name,
        split=name.rpartition("/")[2],
        corpus=keep_corpus(
            _documents(found, name),
            stored=cache_folder("corpora", cache) / f"ir-datasets-{digest}.sqlite",
            stamp=stamp.replace(name, corpus),
            source=name,
            on_progress=on_progress,
        ),
        questions=questions,
        qrels=qrels,
        relevance_level=relevance_level(qrels),
        ignore_identical_ids=name.startswith(_BEIR),
    )


def _documents(found: Any, name: str) -> Iterator[Placed]:
    for number, document in enumerate(found.docs_iter(), start=1):
        text = clean_text(document.default_text())
        yield Path(name), number, Document(text=text, source=clean_text(document.doc_id))


def _qrels(rows: Iterable[Any], name: str) -> Qrels:
    qrels: Qrels = {}
    for row in rows:
        grade = int(row.relevance)
        if abs(grade) > TOP_GRADE:
            raise DataError(f"{name} has the grade {grade}: expected at most {TOP_GRADE}")
        qrels.setdefault(clean_text(row.query_id), {})[clean_text(row.doc_id)] = grade
    return qrels
