"""Ingestion on a CPU: from passages to a searchable folder, against LlamaIndex and LangChain."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.lab.bench.bench import Bench, Facts, PassagesOption, RoundsOption
from unimoer_rag.lab.bench.frameworks import (
    check_frameworks,
    ingest_langchain,
    ingest_llama_index,
)
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.texts import make_passages
from unimoer_rag.lab.bench.timing import OnRun, alternate, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import UniMoER
from unimoer_rag.retrieval import WHOLE, UnifiedRetriever

__all__ = ["BENCH", "measure_ingest"]


def measure_ingest(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    passages: PassagesOption = 1000,
    rounds: RoundsOption = 5,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Index passages into a folder on the CPU, against LlamaIndex and LangChain with Qdrant.

    The others embed with the checkpoint's backbone through sentence-transformers and store in
    Qdrant's local mode, both at their defaults. Ours writes vectors for BM25 besides.

    Returns:
        See `report`.

    Raises:
        MissingExtraError: a package of the extra `rivals` is not installed.
        InputError: there are too few rounds.
    """
    check_frameworks("the ingestion benchmark")
    from langchain_huggingface import HuggingFaceEmbeddings
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    model = UniMoER.from_pretrained(checkpoint, device="cpu")
    texts = make_passages(model.tokenizer, passages)
    llama_index = HuggingFaceEmbedding(model_name=str(model.path), device="cpu")
    langchain = HuggingFaceEmbeddings(model_name=str(model.path), model_kwargs={"device": "cpu"})
    with tempfile.TemporaryDirectory() as scratch:

        def ours(folder: Path) -> None:
            with UnifiedRetriever(model, index=folder, chunking=WHOLE) as retriever:
                retriever.add(texts)

        def fresh(index: Callable[[Path], None]) -> None:
            folder = Path(scratch) / "index"
            shutil.rmtree(folder, ignore_errors=True)
            index(folder)

        sides: dict[str, Callable[[], None]] = {
            "ours": partial(fresh, ours),
            "llama-index": partial(fresh, partial(ingest_llama_index, llama_index, texts)),
            "langchain": partial(fresh, partial(ingest_langchain, langchain, texts)),
        }
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
    facts = {
        name: {
            "seconds": round(taken, 3),
            "passages_a_second": round(passages / taken, 1),
        }
        for name, taken in seconds.medians().items()
    }
    return report(
        "ingest",
        ratio=seconds.ratio("llama-index", "ours"),
        ratio_to_langchain=seconds.ratio("langchain", "ours"),
        checkpoint=checkpoint,
        passages=passages,
        rounds=rounds,
        ours=facts.pop("ours"),
        others=facts,
        seconds=seconds.rounded(),
    )


def _table(found: Facts) -> Table:
    return Table(
        f"ingestion: medians of {found['rounds']} rounds",
        ("", "seconds", "passages a second"),
        [
            (name, f"{side['seconds']:.3f}", f"{side['passages_a_second']:.1f}")
            for name, side in {"ours": found["ours"], **found["others"]}.items()
        ],
    )


BENCH = Bench(measure_ingest, _table, quick={"passages": 16})
