"""The data sets that rankings are measured by: their files, what pins them, what they hold.

Pins and counts were read in these places, in November 2026; no machine of this project reached the
files, so `Known.checked` is False for all of them.

| files | pinned by | read in |
|---|---|---|
| BEIR, CQADupStack, MIRACL, BRIGHT (`mteb/*`) | commit | the tasks of mteb 2.26 |
| NanoBEIR (`zeta-alpha-ai/*`) | commit and MD5 | results of mteb 2.10; `downloads.json` of ir_datasets |
| MS MARCO, TREC Deep Learning | MD5 | `downloads.json` of ir_datasets 0.6 |
| counts of all | | mteb's descriptive statistics and `metadata.json` of ir_datasets, which agree |
"""  # noqa: E501 - a table

from __future__ import annotations

from unimoer_rag.data.catalogue.hub_folder import HubFolder
from unimoer_rag.data.catalogue.msmarco import MSMARCO
from unimoer_rag.data.catalogue.remote import HubFile
from unimoer_rag.data.catalogue.sets import Counts, HubSplit, Known, Split, Table
from unimoer_rag.data.corpora import joined_passages

__all__ = ["BEIR", "BRIGHT", "CQADUPSTACK", "MIRACL", "NANOBEIR", "RANKED"]

# A character of JSONL or Parquet takes about a byte, with the other columns.
_Row = tuple[str, str, str, str, tuple[int, int, int], int]

# name, what, repository, commit, (passages, questions, relevant), bytes about; licences below.
_BEIR: tuple[_Row, ...] = (
    ("trec-covid", "TREC-COVID: questions on COVID-19 over CORD-19", "mteb/trec-covid",
     "bb9466bac8153a0349341eb1b22e06409e78ef4e", (171_332, 50, 24_673), 225_000_000),
    ("nfcorpus", "NFCorpus: questions on nutrition over PubMed", "mteb/nfcorpus",
     "ec0fa4fe99da2ff19ca1214b7966684033a58814", (3_633, 323, 12_334), 7_000_000),
    ("fiqa", "FiQA-2018: questions on finance", "mteb/fiqa",
     "27a168819829fe9bcd655c2df245fb19452e8e06", (57_638, 648, 1_706), 50_000_000),
    ("arguana", "ArguAna: the best counterargument", "mteb/arguana",
     "c22ab2a51041ffd869aaddef7af8d8215647e41a", (8_674, 1_406, 1_406), 12_000_000),
    ("touche2020", "Touché 2020: arguments on controversial questions", "mteb/touche2020",
     "a34f9a33db75fa0cbb21bb5cfc3dae8dc8bec93f", (382_545, 49, 932), 700_000_000),
    ("quora", "Quora: questions that ask the same", "mteb/quora",
     "e4e08e0b7dbe3c8700f0daef558ff32256715259", (522_931, 10_000, 15_675), 55_000_000),
    ("dbpedia", "DBpedia-Entity v2: entities of Wikipedia", "mteb/dbpedia",
     "c0f706b76e590d620bd6618b3ca8efdd34e2d659", (4_635_922, 400, 15_286), 1_700_000_000),
    ("scidocs", "SCIDOCS: papers that a paper cites", "mteb/scidocs",
     "f8c2fcf00f625baaa80f62ec5bd9e1fff3b8ae88", (25_657, 1_000, 4_928), 36_000_000),
    ("fever", "FEVER: evidence for claims", "mteb/fever",
     "bea83ef9e8fb933d90a2f1d5515737465d613e12", (5_416_568, 6_666, 7_937), 3_200_000_000),
    ("climate-fever", "Climate-FEVER: evidence for claims on the climate", "mteb/climate-fever",
     "47f2ac6acb640fc46020b02a5b59fdda04d39380", (5_416_593, 1_535, 4_681), 3_200_000_000),
    ("scifact", "SciFact: evidence for scientific claims", "mteb/scifact",
     "d56462d0e63a25450459c4f213e49ffdb866f7f9", (5_183, 300, 339), 9_000_000),
)  # fmt: skip

_LICENCES = {
    "arguana": "CC BY-SA 4.0",
    "touche2020": "CC BY-SA 4.0",
    "dbpedia": "MIT",
    "scidocs": "CC BY-SA 4.0",
    "fever": "CC BY-NC-SA 3.0",
    "climate-fever": "CC BY-SA 4.0",
    "scifact": "CC BY-NC 4.0",
}

# forum, repository, commit, counts, bytes about
_FORUMS = (
    ("android", "mteb/CQADupstackAndroidRetrieval", "9be4c0e46342e8e3aff577a89b9a1ec9bc6b4af3",
     (22_998, 699, 1_696), 16_000_000),
    ("english", "mteb/cqadupstack-english", "ad9991cb51e31e31e430383c75ffb2885547b5f0",
     (40_221, 1_570, 3_765), 23_000_000),
    ("gaming", "mteb/cqadupstack-gaming", "4885aa143210c98657558c04aaf3dc47cfb54340",
     (45_301, 1_595, 2_263), 26_000_000),
    ("gis", "mteb/cqadupstack-gis", "5003b3064772da1887988e05400cf3806fe491f2",
     (37_637, 885, 1_114), 43_000_000),
    ("mathematica", "mteb/cqadupstack-mathematica", "90fceea13679c63fe563ded68f3b6f06e50061de",
     (16_705, 804, 1_358), 22_000_000),
    ("physics", "mteb/cqadupstack-physics", "79531abbd1fb92d06c6d6315a0cbbbf5bb247ea4",
     (38_316, 1_039, 1_933), 35_000_000),
    ("programmers", "mteb/cqadupstack-programmers", "6184bc1440d2dbc7612be22b50686b8826d22b32",
     (32_176, 876, 1_675), 38_000_000),
    ("stats", "mteb/cqadupstack-stats", "65ac3a16b8e91f9cee4c9828cc7c335575432a2a",
     (42_269, 652, 913), 49_000_000),
    ("tex", "mteb/cqadupstack-tex", "46989137a86843e03a6195de44b09deda022eec7",
     (68_184, 2_906, 5_154), 98_000_000),
    ("unix", "mteb/cqadupstack-unix", "6c6430d3a6d36f8d2a829195bc5dc94d7e063e53",
     (47_382, 1_072, 1_693), 54_000_000),
    ("webmasters", "mteb/cqadupstack-webmasters", "160c094312a0e1facb97e55eeddb698c0abe3571",
     (17_405, 506, 1_395), 14_000_000),
    ("wordpress", "mteb/cqadupstack-wordpress", "4ffe81d471b1924886b33c7567bfb200e9eec5c4",
     (48_605, 541, 744), 61_000_000),
)  # fmt: skip


def _tables(folder: HubFolder, split: str, counts: tuple[int, int, int]) -> HubSplit:
    """A split in the layout of mteb: three tables, judgements as `default` or as `qrels`."""
    return HubSplit(
        folder=folder,
        corpus=Table(("corpus",), "corpus"),
        questions=Table(("queries", "query"), "queries"),
        qrels=Table(("default", "qrels"), split),
        counts=Counts(*counts),
    )


def _beir(
    name: str,
    what: str,
    licence: str,
    repo: str,
    commit: str,
    counts: tuple[int, int, int],
    size: int,
) -> Known:
    return Known(
        name=name,
        what=what,
        licence=licence,
        splits={"test": _tables(HubFolder(repo, commit, size), "test", counts)},
        passages=joined_passages,
        ignore_identical_ids=True,
        checked=False,
    )


BEIR = tuple(
    _beir(name, f"BEIR's {what}", _LICENCES.get(name, "not stated"), repo, commit, counts, size)
    for name, what, repo, commit, counts, size in _BEIR
)

CQADUPSTACK = tuple(
    _beir(
        f"cqadupstack-{forum}",
        f"BEIR's CQADupStack, the forum {forum}: questions asked before",
        "Apache-2.0",
        repo,
        commit,
        counts,
        size,
    )
    for forum, repo, commit, counts, size in _FORUMS
)

# set, repository, commit, MD5 of corpus, queries and qrels, counts, bytes of the corpus about
_NANO = (
    ("arguana", "NanoArguAna", "8f4a982d470a32c45817738b9d29042ca55d75ad",
     ("ee563dc09a91032b494f469b6c807a9c", "5ad0a26fad750dc74eae00ab753731b8",
      "5fab96653b0455879606e82071ef4b21"), (3_635, 50, 50), 2_200_000),
    ("climate-fever", "NanoClimateFEVER", "96741bfa30b9f56db8c9eb7d08e775ed6474f206",
     ("97a57296bbb7e48ffc8b763c4b2a188b", "0f4d43544ae8755e0557f89be3ae7e74",
      "3042ccd6054266951ac1338c57a2bb85"), (3_408, 50, 148), 3_300_000),
    ("dbpedia", "NanoDBPedia", "438f1c25129f05db6238699b5afdc9c6b58d2096",
     ("cee2bc11f2b84fe636b5f219246221e0", "ec7d771ba38310699a5b323aa693febe",
      "8a9fa7e95c276d810ddbb53b8054801d"), (6_045, 50, 1_158), 1_300_000),
    ("fever", "NanoFEVER", "a8bfdf1bf15181167a7e22e69cf8754bdea9b4c8",
     ("0b052fca4b4c975088bc2f01d7f2b749", "43122d82b3df866afad1f37a28e6ba60",
      "a25763bbae313d39668c37dbadb70cd3"), (4_996, 50, 57), 3_700_000),
    ("fiqa", "NanoFiQA2018", "4163ba032953d5044a7a6244261413f609c14342",
     ("873e5dcf7920fc8c0ff210cf06907607", "8b25da8b2d2e40a483d7a782a048a950",
      "f22d89ef6658379498bc92e92cf92d26"), (4_598, 50, 123), 2_500_000),
    ("hotpotqa", "NanoHotpotQA", "d79c0cdda980aba54842756770928035e1b61a51",
     ("da3d14375223d0e5dad172acdbb1c332", "c1f13d4ed9f88a89285e39d9e13f5c38",
      "3ed8424185156af1fe4c55aac84bce92"), (5_090, 50, 100), 1_200_000),
    ("msmarco", "NanoMSMARCO", "7b8ff22f2771dc65ac5b439f222eb19a1f56abda",
     ("15ab2a1d3674e562d088e64dc5781373", "9ab46c94f88bfed1e338dc0887568f03",
      "c72caacf4bc04efa8af6b2ac2944ea92"), (5_043, 50, 50), 1_100_000),
    ("nfcorpus", "NanoNFCorpus", "dd542a7efb9ad2136b9e00768b60fca9038f8156",
     ("deb02538a3b030843a8ccca212dc6a3c", "6578fc992124bb997e32bd1192c1b475",
      "402762544651e0fc6df10cd76e2cbfae"), (2_953, 50, 2_518), 2_600_000),
    ("nq", "NanoNQ", "77540146379abf95df8326a3c5bb9eb21c7146c3",
     ("aaf73189d2b8d0de039dc2619d7a29ef", "87de29b17a669fc61d1f192bd5099887",
      "fc2b183187c4f99e0939b55dc11b1908"), (5_035, 50, 57), 1_700_000),
    ("quora", "NanoQuoraRetrieval", "2ab2d73e6c862026282808b913a34f4136928545",
     ("a8cd6d41cbeb6bda2a3ed90526de4521", "590ed67697e12f21fafe436c07e6f772",
      "650ca21cef9a73b83e3845c93e3a230a"), (5_046, 50, 70), 300_000),
    ("scidocs", "NanoSCIDOCS", "484eb90549fc3f0b9c42b3551e80ceb999515537",
     ("60f9f2a7206f0e8a0fc185df2b7ab00b", "940e2220bc9667138774a36f6c771c97",
      "e21c1514761b06ac6bba5a8f958d8803"), (2_210, 50, 244), 1_300_000),
    ("scifact", "NanoSciFact", "309f1d1ae3ae2e092444a8a0c25bed59b82318bc",
     ("9f82bfc70f9b7d7f0275fb6b8ee38876", "0218d8ad9c0bd8671002f16edb497ff3",
      "1155d79cf3854fa43c72c8458f34f744"), (2_919, 50, 56), 2_500_000),
    ("touche2020", "NanoTouche2020", "0d2f26ed8c5ad309f95c7f9499c70a40e140fccd",
     ("fdea27196d1234ab4aa2c49c9a849840", "0ba668cdae413f411644871f544a9d1b",
      "4b3de9c60d59be85ae4483e1210caff9"), (5_745, 49, 932), 7_000_000),
)  # fmt: skip


def _nano(
    name: str,
    repo: str,
    commit: str,
    md5: tuple[str, str, str],
    counts: tuple[int, int, int],
    size: int,
) -> Known:
    corpus, questions, qrels = (
        HubFile(
            f"zeta-alpha-ai/{repo}",
            commit,
            f"{table}/train-00000-of-00001.parquet",
            n_bytes,
            name=f"{table}.parquet",
            md5=digest,
        )
        for table, digest, n_bytes in zip(
            ("corpus", "queries", "qrels"), md5, (size, 10_000, 10_000), strict=True
        )
    )
    return Known(
        name=f"nano-{name}",
        what=f"NanoBEIR's {name}: {counts[1]} of its questions over some of its passages",
        licence="CC BY 4.0",
        splits={"test": Split(questions=questions, qrels=qrels, counts=Counts(*counts))},
        corpus=corpus,
        # The evaluators that the published figures are of leave nothing out.
        ignore_identical_ids=False,
        checked=False,
    )


NANOBEIR = tuple(_nano(*row) for row in _NANO)

# domain, passages, questions, relevant, bytes about
_DOMAINS = (
    ("biology", (57_359, 103, 374), 13_000_000),
    ("earth_science", (121_249, 116, 609), 27_000_000),
    ("economics", (50_220, 103, 823), 14_000_000),
    ("psychology", (52_835, 101, 742), 14_000_000),
    ("robotics", (61_961, 101, 553), 12_000_000),
    ("stackoverflow", (107_081, 117, 819), 100_000_000),
    ("sustainable_living", (60_792, 108, 604), 14_000_000),
    ("leetcode", (413_932, 142, 262), 200_000_000),
    ("pony", (7_894, 112, 2_519), 2_000_000),
    ("aops", (188_002, 111, 524), 80_000_000),
    ("theoremqa_questions", (188_002, 205, 469), 80_000_000),
    ("theoremqa_theorems", (23_839, 65, 126), 12_000_000),
)


def _bright(domain: str, counts: tuple[int, int, int], size: int) -> Known:
    folder = HubFolder(
        "mteb/BRIGHT",
        "c26703e6600d97c579ee2985f16cf307db13ed85",
        size,
        include=("README.md", f"documents/{domain}*", f"examples/{domain}*"),
    )
    examples = Table(("examples",), domain)
    tables = HubSplit(
        folder=folder,
        corpus=Table(("documents",), domain),
        questions=examples,
        qrels=examples,
        counts=Counts(*counts),
    )
    return Known(
        name=f"bright-{domain.replace('_', '-')}",
        what=f"BRIGHT's {domain.replace('_', ' ')}: questions that take reasoning to find for",
        licence="CC BY 4.0",
        splits={"test": tables},
        ignore_identical_ids=False,
        checked=False,
    )


BRIGHT = tuple(_bright(*row) for row in _DOMAINS)

MIRACL = Known(
    name="miracl-en",
    what="MIRACL's English questions over Wikipedia",
    licence="CC BY-SA 4.0",
    splits={
        "dev": HubSplit(
            folder=HubFolder(
                "mteb/MIRACLRetrieval",
                "9c09abc13478308c27598f350e31d8f06b9b5481",
                8_000_000_000,
                include=("README.md", "en-*"),
            ),
            corpus=Table(("en-corpus",), "dev"),
            questions=Table(("en-queries",), "dev"),
            qrels=Table(("en-qrels",), "dev"),
            counts=Counts(32_893_221, 799, 2_326),
        )
    },
    passages=joined_passages,
    ignore_identical_ids=False,
    checked=False,
)

RANKED = (*BEIR, *CQADUPSTACK, *NANOBEIR, *MSMARCO, *BRIGHT, MIRACL)
