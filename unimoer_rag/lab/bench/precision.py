"""What fewer bits cost and save: quality, bytes and seconds of each precision of one model.

Beside it stand two models of the same size, an embedder and a cross-encoder, whose weights are
quantized in the same way: their bytes and seconds. Quality is measured on questions drawn from
TREC DL 2021 (reranking BM25's first), Natural Questions (retrieval among some of its passages) and
SQuAD (reading the passage that holds the answer).
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.data import BeirDataset, load_beir, load_run, ranked
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation import EvalOptions
from unimoer_rag.evaluation.evaluate import evaluate
from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.bench.bench import Bench, Facts, RoundsOption
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.rivals import random_cross_encoder
from unimoer_rag.lab.bench.texts import make_passages, make_queries
from unimoer_rag.lab.bench.timing import OnRun, alternate, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import (
    LOCAL,
    UniMoER,
    choose_device,
    choose_precision,
    count_bytes,
    load_own,
    quantize,
    transformer_layers,
)
from unimoer_rag.model.device import Precision

__all__ = ["BENCH", "PRECISIONS", "measure_precision"]

PRECISIONS = ("float32", "bfloat16", "int8", "int4")

_RUN = "run.bm25.trec.gz"
_DEPTH = 50


def measure_precision(
    data: Annotated[
        Path, typer.Option(help="Folder with trec-dl-2021, nq and squad-dev in the BEIR layout.")
    ],
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    questions: Annotated[
        int, typer.Option(help="Of trec-dl-2021 and of nq; of squad-dev five times as many.")
    ] = 30,
    passages: Annotated[int, typer.Option(help="Of nq, beside those with the answers.")] = 1000,
    timed: Annotated[int, typer.Option(help="Passages embedded and reranked a round.")] = 40,
    rounds: RoundsOption = 5,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Measure float32, bfloat16, int8 and int4 weights on the CPU: quality, bytes and seconds.

    Beside our model stand an embedder and a cross-encoder of its size, quantized in the same way.

    Returns:
        See `report`: `ours` and `others` by precision; `ratio` is our bytes over those of the two
        models in bfloat16, `ratios` in each.

    Raises:
        DataError: a data set is missing.
        MissingExtraError: sentence-transformers or ir-measures is not installed.
    """
    with needs_extra("sentence_transformers", "bench", "the precision benchmark"):
        import sentence_transformers  # noqa: F401
    work = _Quality(data, questions, passages)
    ours: dict[str, dict[str, Any]] = {}
    theirs: dict[str, dict[str, Any]] = {}
    sides: dict[str, Callable[[], Any]] = {}
    device = choose_device("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        exact = None
        for name in PRECISIONS:
            on_run(f"quality of {name}")
            model = load_own(checkpoint, device="cpu", dtype=name)
            texts = make_passages(model.tokenizer, timed)
            query = make_queries(model.tokenizer, 1)[0]
            vectors = model.embed(texts)
            exact = vectors if exact is None else exact
            ours[name] = {
                "bytes": count_bytes(model),
                **work.measure(model),
                "cosine": round(float((vectors * exact).sum(1).mean()), 5),
            }
            sides[f"ours {name}"] = partial(_run_ours, model, query, texts)
            pair = _Pair(model.path, choose_precision(name, device), Path(scratch))
            theirs[name] = {"bytes": pair.bytes}
            sides[f"pair {name}"] = partial(pair.run, query, texts)
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
    medians = seconds.medians()
    for name in PRECISIONS:
        ours[name]["seconds"] = round(medians[f"ours {name}"], 3)
        theirs[name]["seconds"] = round(medians[f"pair {name}"], 3)
    ratios = {name: round(ours[name]["bytes"] / theirs[name]["bytes"], 4) for name in PRECISIONS}
    return report(
        "precision",
        ratio=ratios["bfloat16"],
        ratios=ratios,
        checkpoint=checkpoint,
        questions=questions,
        passages=work.n_passages,
        rerank_depth=_DEPTH,
        timed=timed,
        rounds=rounds,
        ours=ours,
        others=theirs,
        seconds=seconds.rounded(),
    )


def _run_ours(model: UniMoER, query: str, texts: list[str]) -> None:
    model.embed(texts)
    model.score(query, texts)


class _Pair:
    """An embedder and a cross-encoder of the backbone's size, quantized as ours is."""

    def __init__(self, backbone: Path, precision: Precision, folder: Path) -> None:
        from sentence_transformers import CrossEncoder, SentenceTransformer

        options: dict[str, Any] = {
            "device": "cpu",
            "model_kwargs": {"dtype": precision.dtype},
            **LOCAL,
        }
        self._embedder = SentenceTransformer(str(backbone), **options)
        reranker = folder / "reranker"
        if not reranker.is_dir():
            random_cross_encoder(backbone, reranker)
        self._reranker = CrossEncoder(str(reranker), **options)
        self.bytes = 0
        for rival in (self._embedder, self._reranker):
            whole: Any = rival[0].model
            body = whole.base_model
            if precision.quantization:
                layers = transformer_layers(body, body.config.num_hidden_layers)
                quantize(body, layers, precision.quantization)
            self.bytes += count_bytes(whole)

    def run(self, query: str, texts: list[str]) -> None:
        self._embedder.encode(texts, normalize_embeddings=True)
        self._reranker.predict([(query, text) for text in texts])


class _Quality:
    """The same questions for every precision."""

    def __init__(self, data: Path, questions: int, passages: int) -> None:
        self._ranked = load_beir(data / "trec-dl-2021", "dev").limit(questions)
        first = load_run(data / "trec-dl-2021" / _RUN)
        self._run = {
            question.id: {d: first[question.id][d] for d in ranked(first[question.id])[:_DEPTH]}
            for question in self._ranked.questions
            if question.id in first
        }
        self._searched = _smaller(load_beir(data / "nq", "dev").limit(questions), passages)
        self._read = load_beir(data / "squad-dev", "dev").limit(5 * questions)
        self.n_passages = len(self._searched.corpus)

    def measure(self, model: UniMoER) -> dict[str, float]:
        def part(name: str) -> EvalOptions:
            return EvalOptions(parts=(name,), n_timed=0)

        reranked = evaluate(model, self._ranked, run=self._run, options=part("rerank"))
        found = evaluate(model, self._searched, options=part("retrieval"))
        read = evaluate(model, self._read, options=part("answers"))
        Engine.of(model).close()
        gc.collect()
        return {
            "rerank_ndcg_10": round(reranked.rerank["nDCG@10"], 4),
            "retrieval_ndcg_10": round(found.retrieval["nDCG@10"], 4),
            "read_f1": round(read.means("answers")["f1"], 2),
        }


def _smaller(dataset: BeirDataset, passages: int) -> BeirDataset:
    """The data set over its judged passages and some of the others, in the corpus's order."""
    judged = {doc_id for grades in dataset.qrels.values() for doc_id in grades}
    others = islice((doc_id for doc_id in dataset.corpus if doc_id not in judged), passages)
    kept = judged.union(others)
    return replace(dataset, corpus={i: doc for i, doc in dataset.corpus.items() if i in kept})


def _table(found: Facts) -> Table:
    base = found["ours"]["float32"]["seconds"]
    rows = []
    for name, ours in found["ours"].items():
        theirs = found["others"][name]
        rows.append(
            (
                name,
                f"{ours['bytes'] / 1e6:.1f}",
                f"{theirs['bytes'] / 1e6:.1f} ({found['ratios'][name]:.2f})",
                f"{ours['cosine']:.4f}",
                f"{ours['rerank_ndcg_10']:.4f}",
                f"{ours['retrieval_ndcg_10']:.4f}",
                f"{ours['read_f1']:.1f}",
                f"{ours['seconds'] / base:.2f}",
                f"{theirs['seconds'] / base:.2f}",
            )
        )
    return Table(
        "One model against two of its size, by precision of the frozen weights",
        (
            "dtype",
            "MB",
            "MB of two models (ours over theirs)",
            "cosine to float32",
            "nDCG@10, reranked",
            "nDCG@10, retrieved",
            "F1 of reading",
            "time over float32",
            "of two models",
        ),
        rows,
    )


BENCH = Bench(measure_precision, _table, quick={"questions": 5, "passages": 100, "timed": 4})
