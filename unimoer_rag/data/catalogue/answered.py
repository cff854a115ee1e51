"""The data sets whose questions have answers: their files, what pins them, their licences.

Pins were read in these places, in November 2026:

| files | pinned by | read in |
|---|---|---|
| BEIR (`BeIR/*` on the Hub) | commit | the Hub's file listings at these commits |
| FlashRAG (`RUC-NLPIR/FlashRAG_datasets`) | commit | the pages of the commits that add them |
| NQ-open | SHA-256 | manifests of several public projects, which agree on digest and size |
| TriviaQA | SHA-256 | `checksums.tsv` of TensorFlow Datasets |
| HotpotQA | SHA-256 | the task definition of ParlAI, and later projects that agree |
| DPR's passages | SHA-256 | manifests of several public projects, which agree on digest and size |
"""

from __future__ import annotations

from dataclasses import replace

from unimoer_rag.data.catalogue.remote import HubFile, RemoteFile, WebFile
from unimoer_rag.data.catalogue.sets import Known, Split
from unimoer_rag.data.corpora import joined_passages
from unimoer_rag.data.samples import Sample

__all__ = ["ANSWERED", "DPR_PASSAGES"]


_FLASHRAG = "RUC-NLPIR/FlashRAG_datasets"

_NQ_OPEN_DEV = WebFile(
    "https://raw.githubusercontent.com/google-research-datasets/natural-questions/"
    "fb26a3073b1fe636c97302890a27b491d6530130/nq_open/NQ-open.dev.jsonl",
    "f15567f38099f3615f5b8a685c0aef449c11ad90d3da3735e8d1b98115b40616",
    391_316,
)

DPR_PASSAGES = WebFile(
    "https://dl.fbaipublicfiles.com/dpr/wikipedia_split/psgs_w100.tsv.gz",
    "c39b020c855a2b5c25ffef3abe4a3b6f9b829ad7dbc14ec3d163d34d7c53ea8d",
    4_694_541_059,
)

_FLASHRAG_WIKIPEDIA = HubFile(
    _FLASHRAG,
    "f2de0bd8153a00c9e51566e572734d761075983d",
    "retrieval-corpus/wiki18_100w.zip",
    5_130_719_280,
)

_BEIR_HOTPOTQA_CORPUS = HubFile(
    "BeIR/hotpotqa", "d01a1664af564332aeb82454911d50f83a8a05ee", "corpus.jsonl.gz", 643_000_000
)


def _hotpotqa(name: str, sha256: str, size: int) -> WebFile:
    return WebFile(f"http://curtis.ml.cmu.edu/datasets/hotpot/{name}", sha256, size)


_HOTPOTQA_TRAIN = _hotpotqa(
    "hotpot_train_v1.1.json",
    "26650cf50234ef5fb2e664ed70bbecdfd87815e6bffc257e068efea5cf7cd316",
    566_426_227,
)
_HOTPOTQA_DISTRACTOR = _hotpotqa(
    "hotpot_dev_distractor_v1.json",
    "4e9ecb5c8d3b719f624d66b60f8d56bf227f03914f5f0753d6fa1b359d7104ea",
    46_320_117,
)
_HOTPOTQA_FULLWIKI = _hotpotqa(
    "hotpot_dev_fullwiki_v1.json",
    "2f1f3e594a3066a3084cc57950ca2713c24712adaad03af6ccce18d1846d5618",
    47_454_698,
)


def _triviaqa(split: str) -> WebFile:
    return WebFile(
        "https://nlp.cs.washington.edu/triviaqa/data/triviaqa-unfiltered.tar.gz",
        "7f0c94207fd0a1eb7bba3d52cdfe0735c98de850b9e5aa4e75f2776ef9a531d0",
        632_549_060,
        member=f"triviaqa-unfiltered/unfiltered-web-{split}.json",
    )


def _beir_hotpotqa(split: str, qrels_size: int, answers: RemoteFile) -> Split:
    return Split(
        questions=HubFile(
            "BeIR/hotpotqa",
            "d01a1664af564332aeb82454911d50f83a8a05ee",
            "queries.jsonl.gz",
            8_610_000,
        ),
        qrels=HubFile(
            "BeIR/hotpotqa-qrels",
            "1fddb0dd8bebbbdc8bf8df0e16aff3e7b9af6777",
            f"{split}.tsv",
            qrels_size,
            name=f"qrels/{split}.tsv",
        ),
        answers=answers,
    )


def _flashrag(revision: str, folder: str, split: str, size: int) -> Split:
    path = f"{folder}/{split}.jsonl"
    return Split(questions=HubFile(_FLASHRAG, revision, path, size, name=f"{folder}-{split}.jsonl"))


_ALL = (
    Known(
        name="nq",
        what="BEIR's Natural Questions with NQ-open's answers, 2.7 million passages",
        licence="CC BY-SA 4.0 (BEIR), CC BY-SA 3.0 (NQ-open)",
        splits={
            "test": Split(
                questions=HubFile(
                    "BeIR/nq",
                    "ed7edb11ab8c173ff4394c30ff266c7297904b24",
                    "queries.jsonl.gz",
                    82_500,
                ),
                qrels=HubFile(
                    "BeIR/nq-qrels",
                    "e0af5ee151070410033ea989ec2cb6582b7d6207",
                    "test.tsv",
                    87_100,
                    name="qrels/test.tsv",
                ),
                answers=_NQ_OPEN_DEV,
            )
        },
        corpus=HubFile(
            "BeIR/nq", "ed7edb11ab8c173ff4394c30ff266c7297904b24", "corpus.jsonl.gz", 498_000_000
        ),
        passages=joined_passages,
        ignore_identical_ids=True,
        answer_rules="nq-open",
    ),
    Known(
        name="nq-open",
        what="NQ-open over DPR's 21 million passages of Wikipedia",
        licence="CC BY-SA 3.0",
        splits={"dev": Split(questions=_NQ_OPEN_DEV)},
        corpus=DPR_PASSAGES,
        answer_rules="nq-open",
    ),
    Known(
        name="triviaqa",
        what="TriviaQA unfiltered, with aliases, over DPR's 21 million passages of Wikipedia",
        licence="questions Apache-2.0 (repository), passages CC BY-SA 3.0",
        splits={
            "dev": Split(questions=_triviaqa("dev")),
            "train": Split(questions=_triviaqa("train")),
        },
        corpus=DPR_PASSAGES,
        answer_rules="triviaqa",
    ),
    Known(
        name="hotpotqa",
        what="BEIR's HotpotQA with the official answers, 5.2 million passages",
        licence="CC BY-SA 4.0",
        splits={
            # BEIR's test questions are HotpotQA's dev set, its dev ones a part of the train set.
            "test": _beir_hotpotqa("test", 533_000, _HOTPOTQA_DISTRACTOR),
            "dev": _beir_hotpotqa("dev", 392_000, _HOTPOTQA_TRAIN),
            "train": _beir_hotpotqa("train", 6_120_000, _HOTPOTQA_TRAIN),
        },
        corpus=_BEIR_HOTPOTQA_CORPUS,
        passages=joined_passages,
        ignore_identical_ids=True,
        answer_rules="hotpotqa",
    ),
    Known(
        name="hotpotqa-distractor",
        what="HotpotQA's distractor setting: the paragraphs of all its questions",
        licence="CC BY-SA 4.0",
        splits={
            "dev": Split(questions=_HOTPOTQA_DISTRACTOR),
            "train": Split(questions=_HOTPOTQA_TRAIN),
        },
        corpus=None,
        answer_rules="hotpotqa",
    ),
    Known(
        name="hotpotqa-fullwiki",
        what="HotpotQA's fullwiki setting: the introductions of 5.2 million articles, BEIR's copy",
        licence="CC BY-SA 4.0",
        splits={"dev": Split(questions=_HOTPOTQA_FULLWIKI)},
        corpus=_BEIR_HOTPOTQA_CORPUS,
        answer_rules="hotpotqa",
    ),
    Known(
        name="flashrag-nq",
        what="FlashRAG's NQ over its 21 million passages of Wikipedia",
        licence="CC BY-SA 4.0",
        splits={
            split: _flashrag("b06834131c731244ec3c4f9d09370ecc5e07be41", "nq", split, size)
            for split, size in (("test", 488_000), ("dev", 1_073_443), ("train", 9_960_189))
        },
        corpus=_FLASHRAG_WIKIPEDIA,
        answer_rules="nq-open",
    ),
    Known(
        name="flashrag-triviaqa",
        what="FlashRAG's TriviaQA over its 21 million passages of Wikipedia",
        licence="CC BY-SA 4.0",
        splits={
            split: _flashrag("896e34bd3cbd8d560946cb7081dce1d69d278b3f", "triviaqa", split, size)
            for split, size in (("test", 4_800_000), ("dev", 3_714_793), ("train", 32_952_174))
        },
        corpus=_FLASHRAG_WIKIPEDIA,
        answer_rules="triviaqa",
    ),
    Known(
        name="flashrag-hotpotqa",
        what="FlashRAG's HotpotQA over its 21 million passages of Wikipedia",
        licence="CC BY-SA 4.0",
        splits={
            split: _flashrag("e011525b9d6ba2965f99a56cfb835b1b83379454", "hotpotqa", split, size)
            for split, size in (("dev", 48_191_374), ("train", 569_520_788))
        },
        corpus=_FLASHRAG_WIKIPEDIA,
        answer_rules="hotpotqa",
    ),
)

_NQ = _ALL[0]
_NQ_SMALL = replace(
    _NQ,
    name="nq-small",
    what="300 questions of nq over their passages and 20,000 others: minutes in place of hours",
    sample=Sample(questions=300, others=20_000),
)

ANSWERED = (_NQ, _NQ_SMALL, *_ALL[1:])
