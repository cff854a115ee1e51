"""The data sets known by name, and the benchmarks that several of them are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unimoer_rag.data.catalogue.answered import ANSWERED, DPR_PASSAGES
from unimoer_rag.data.catalogue.ranked import BRIGHT, CQADUPSTACK, NANOBEIR, RANKED
from unimoer_rag.data.catalogue.sets import Counts, HubSplit, Known, Split, Table

__all__ = [
    "DPR_PASSAGES",
    "KNOWN",
    "SUITES",
    "Counts",
    "HubSplit",
    "Known",
    "Split",
    "Suite",
    "Table",
]

KNOWN: Mapping[str, Known] = {known.name: known for known in (*ANSWERED, *RANKED)}
"""Name -> data set."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A benchmark of several data sets, whose figure is the mean of theirs.

    Attributes:
        name: its name.
        what: it is, in a line.
        members: names of data sets; one of several names is a data set in parts, whose mean counts
            as one figure, under the name it is given.
    """

    name: str
    what: str
    members: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Every data set that is measured, once."""
        return tuple(dict.fromkeys(name for part in self.members.values() for name in part))


def _suite(name: str, what: str, *members: str) -> Suite:
    forums = tuple(known.name for known in CQADUPSTACK)
    return Suite(
        name, what, {each: forums if each == "cqadupstack" else (each,) for each in members}
    )


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        _suite(
            "beir",
            "BEIR's fifteen public data sets",
            "msmarco",
            "trec-covid",
            "nfcorpus",
            "nq",
            "hotpotqa",
            "fiqa",
            "arguana",
            "touche2020",
            "cqadupstack",
            "quora",
            "dbpedia",
            "scidocs",
            "fever",
            "climate-fever",
            "scifact",
        ),
        _suite("nanobeir", "NanoBEIR's thirteen", *(known.name for known in NANOBEIR)),
        _suite("cqadupstack", "the twelve forums of CQADupStack", *(k.name for k in CQADUPSTACK)),
        _suite("bright", "the twelve sets of BRIGHT", *(known.name for known in BRIGHT)),
        _suite(
            "trec-dl", "three Deep Learning tracks", *(f"trec-dl-{y}" for y in (2019, 2020, 2021))
        ),
    )
}
"""Name -> benchmark."""
