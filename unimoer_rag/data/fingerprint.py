"""Digests of a data set's content: equal ones mean that two results can be compared."""

from __future__ import annotations

import hashlib

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.data.digest import SetDigest, row_line
from unimoer_rag.data.disk_corpus import DiskCorpus

__all__ = ["corpus_sha256", "questions_sha256"]


def corpus_sha256(dataset: BeirDataset) -> str:
    """Of every passage's id, title and text; their order does not count."""
    if isinstance(dataset.corpus, DiskCorpus):
        return dataset.corpus.sha256  # taken when it was stored
    digest = SetDigest()
    for doc_id, document in dataset.corpus.items():
        digest.add([doc_id, document.title, document.text])
    return digest.hexdigest()


def questions_sha256(dataset: BeirDataset) -> str:
    """Of every question's id, text, answers, context and judgements, and of what is relevant.

    The order of questions and judgements does not count.
    """
    digest = hashlib.sha256(row_line([dataset.relevance_level]))
    for q in sorted(dataset.questions, key=lambda q: q.id):
        judged = sorted(dataset.qrels.get(q.id, {}).items())
        digest.update(row_line([q.id, q.text, q.answers, q.context, judged]))
    return digest.hexdigest()
