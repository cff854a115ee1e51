"""Questions of the training sets that no run is trained on: where learning shows, if anywhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NamedTuple

from unimoer_rag.data import BeirDataset

__all__ = ["Parted", "parted"]

_SHARE = 10  # one question in so many is held out


class Parted(NamedTuple):
    """A data set's questions in two parts, over the same passages."""

    train: BeirDataset
    held_out: BeirDataset


def parted(dataset: BeirDataset) -> Parted:
    """A data set without a tenth of its questions, and that tenth.

    Which ones is decided by their words alone, so that a question asked twice is on one side.
    """

    def part(*, held_out: bool) -> BeirDataset:
        questions = [q for q in dataset.questions if _is_held_out(q.text) == held_out]
        qrels = {q.id: dataset.qrels[q.id] for q in questions if q.id in dataset.qrels}
        return replace(dataset, questions=questions, qrels=qrels)

    return Parted(part(held_out=False), part(held_out=True))


def _is_held_out(question: str) -> bool:
    words = " ".join(question.lower().split()).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(words).digest()[:8], "big") % _SHARE == 0
