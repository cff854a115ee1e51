"""MS MARCO's passages, with its own questions and those of TREC's Deep Learning tracks."""

from __future__ import annotations

from unimoer_rag.data.catalogue.remote import WebFile
from unimoer_rag.data.catalogue.sets import Counts, Known, Split
from unimoer_rag.data.formats.msmarco import msmarco_passages

__all__ = ["MSMARCO"]

_LICENCE = "non-commercial research (Microsoft's terms)"
_HOME = "https://msmarco.z22.web.core.windows.net/msmarcoranking"
_PASSAGES_1, _PASSAGES_2 = 8_841_823, 138_364_198


def _of_archive(member: str) -> WebFile:
    return WebFile(
        f"{_HOME}/collectionandqueries.tar.gz",
        "md5:31644046b18952c1386cd4564ba2ae69",
        1_057_717_952,
        member=member,
    )


def _trec(
    year: int,
    corpus: WebFile,
    queries: tuple[str, str, int],
    qrels: tuple[str, str, int],
    counts: tuple[int, int, int],
) -> Known:
    (asked, asked_md5, asked_size), (judged, judged_md5, judged_size) = queries, qrels
    return Known(
        name=f"trec-dl-{year}",
        what=f"TREC's Deep Learning track of {year}, passages, judged by NIST from 0 to 3",
        licence=_LICENCE,
        splits={
            "test": Split(
                questions=WebFile(f"{_HOME}/{asked}", f"md5:{asked_md5}", asked_size),
                qrels=WebFile(
                    f"https://trec.nist.gov/data/deep/{judged}", f"md5:{judged_md5}", judged_size
                ),
                counts=Counts(*counts),
            )
        },
        corpus=corpus,
        passages=msmarco_passages,
        ignore_identical_ids=False,
        checked=False,
    )


_COLLECTION = _of_archive("collection.tsv")
_COLLECTION_2 = WebFile(
    f"{_HOME}/msmarco_v2_passage.tar",
    "md5:05946bac48a8ffee62e160213eab3fda",
    21_768_192_000,
)

MSMARCO = (
    Known(
        name="msmarco",
        what="MS MARCO's passage ranking, the small development set",
        licence=_LICENCE,
        splits={
            "dev": Split(
                questions=_of_archive("queries.dev.small.tsv"),
                qrels=_of_archive("qrels.dev.small.tsv"),
                counts=Counts(_PASSAGES_1, 6_980, 7_437),
            )
        },
        corpus=_COLLECTION,
        passages=msmarco_passages,
        # Numbers of questions and of passages have nothing to do with each other.
        ignore_identical_ids=False,
        measure="RR@10",
        checked=False,
    ),
    _trec(
        2019,
        _COLLECTION,
        ("msmarco-test2019-queries.tsv.gz", "eda71eccbe4d251af83150abe065368c", 4_276),
        ("2019qrels-pass.txt", "2f4be390198da108f6845c822e5ada14", 187_092),
        (_PASSAGES_1, 43, 4_102),
    ),
    _trec(
        2020,
        _COLLECTION,
        ("msmarco-test2020-queries.tsv.gz", "00a406fb0d14ed3752d70d1e4eb98600", 4_131),
        ("2020qrels-pass.txt", "0355ccee7509ac0463e8278186cdd8d1", 218_617),
        (_PASSAGES_1, 54, 3_606),
    ),
    _trec(
        2021,
        _COLLECTION_2,
        ("2021_queries.tsv", "46d863434dda18300f5af33ee29c4b28", 24_585),
        ("2021.qrels.pass.final.txt", "c5b76ec95b589732edc9040302e22a2b", 433_887),
        (_PASSAGES_2, 53, 1_086 + 2_341 + 3_063),
    ),
)
