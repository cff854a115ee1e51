"""Measure what a second hop finds, and the ways there are to make one.

    python scripts/measure_multihop.py --data DIR --json results/multihop.json

For every set under DIR (split `dev`): the pipeline with one hop and with two; the reader given
the judged passages alone, which is what it could reach; and for the second hop, each way to expand
the question with each way to join what both hops found. Five passages are read of 50 reranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

from unimoer_rag.cli import errors, quiet, save_json
from unimoer_rag.data import BeirDataset, load_beir
from unimoer_rag.evaluation import f1
from unimoer_rag.evaluation.statistics import compare
from unimoer_rag.generation import ExtractiveReader
from unimoer_rag.model import UniMoER
from unimoer_rag.pipelines import Answer, RagPipeline
from unimoer_rag.pipelines.multihop import join
from unimoer_rag.retrieval import Hit, Passage, UnifiedRetriever
from unimoer_rag.retrieval.fusion import reciprocal_rank_fusion

HOPS = (1, 2)
N_READ, DEPTH = 5, 50
# Token states of both corpora: each passage is encoded once.
_CACHE_BYTES = 2 * 2**30

Values = dict[str, list[float]]


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    checkpoint: Annotated[str, typer.Option(help="The model.")] = "unimoer-minilm",
    sets: Annotated[str, typer.Option(help="Data sets, comma-separated.")] = "hotpotqa,musique",
) -> None:
    """Measure and write."""
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    measured: dict[str, Any] = {}
    pooled: dict[int, Values] = {hops: {"recall": [], "all": []} for hops in HOPS}
    for name in sets.split(","):
        dataset = load_beir(data / name, "dev")
        with UnifiedRetriever(model, chunking="whole", rerank=DEPTH) as retriever:
            retriever.engine.cache.capacity = _CACHE_BYTES
            retriever.add(dataset.corpus.values())
            by_hops = {hops: measure_hops(retriever, dataset, hops) for hops in HOPS}
            measured[name] = {
                "questions": len(dataset.questions),
                "passages": len(dataset.corpus),
                "hops": {str(hops): means(values) for hops, values in by_hops.items()},
                "f1_from_judged_passages": judged_f1(retriever, dataset),
                "second_hop": measure_ways(retriever, dataset),
            }
        for hops, values in by_hops.items():
            for measure, kept in pooled[hops].items():
                kept += values[measure]
        errors.print(f"{name}: {measured[name]['hops']}")
    gains = {m: compare(pooled[1][m], pooled[2][m]) for m in pooled[1]}
    save_json(
        {
            "command": f"python scripts/measure_multihop.py --data DIR --json {json_path}",
            "checkpoint": checkpoint,
            "dtype": str(model.dtype).removeprefix("torch."),
            "n_read": N_READ,
            "rerank": DEPTH,
            "sets": measured,
            "second_hop_against_first": {
                measure: {
                    "questions": gain.n,
                    "difference": round(gain.difference, 4),
                    "interval": [round(gain.low, 4), round(gain.high, 4)],
                    "p_value": round(gain.p_value, 4),
                }
                for measure, gain in gains.items()
            },
        },
        json_path,
    )


def measure_hops(retriever: UnifiedRetriever, dataset: BeirDataset, hops: int) -> Values:
    """The pipeline's own values for each question: what it read, and what it answered."""
    pipeline = RagPipeline(retriever, n_read=N_READ, hops=hops)
    values: Values = {"recall": [], "all": [], "f1": []}
    for question in dataset.questions:
        answer = pipeline.answer(question.text)
        found = recall(answer.hits, relevant(dataset, question.id))
        values["recall"].append(found)
        values["all"].append(float(found == 1))
        values["f1"].append(100 * f1(answer.text or "", question.answers or (), rules="squad"))
    return values


def judged_f1(retriever: UnifiedRetriever, dataset: BeirDataset) -> float:
    """F1 of the reader's best span of the judged passages: no search could give it better ones."""
    reader = ExtractiveReader(retriever.engine, threshold=0)
    values = []
    for question in dataset.questions:
        documents = [dataset.corpus[doc_id] for doc_id in relevant(dataset, question.id)]
        hits = [Hit(Passage(document.text, document.source)) for document in documents]
        best = reader.generate(question.text, hits).text
        values.append(100 * f1(best or "", question.answers or (), rules="squad"))
    return round(mean(values), 2)


# -- ways to make a second hop --------------------------------------------------------------


def _sentence(answer: Answer) -> str:
    """The sentence that the answer stands in, by its full stops."""
    cited = answer.citations[0]
    text, at = cited.hit.text, cited.start - cited.hit.passage.start
    end = text.find(". ", at + len(cited.text))
    return text[text.rfind(". ", 0, at) + 1 : None if end < 0 else end + 1].strip()


EXPANSIONS: dict[str, Callable[[Answer], str]] = {
    "answer": lambda answer: answer.text or "",
    "answer's sentence": _sentence,
    "answer's title": lambda answer: answer.citations[0].hit.passage.title,
    "best passage": lambda answer: answer.hits[0].passage.content,
}


def _for_the_question(
    question: str, one: Sequence[Hit], two: Sequence[Hit], retriever: UnifiedRetriever
) -> list[Hit]:
    hits = list({hit.id: hit for hit in (*one, *two)}.values())
    scores = retriever.engine.rank(question, [hit.passage.content for hit in hits])
    ranked = (replace(hit, rerank=float(s)) for hit, s in zip(hits, scores, strict=True))
    return sorted(ranked, key=lambda hit: -hit.score)


def _fused(
    question: str, one: Sequence[Hit], two: Sequence[Hit], retriever: UnifiedRetriever
) -> list[Hit]:
    hits = {hit.id: hit for hit in (*one, *two)}
    rankings = [[(hit.id, hit.score) for hit in found] for found in (one, two)]
    return [hits[key] for key, _ in reciprocal_rank_fusion(rankings)]


def _shared(
    question: str, one: Sequence[Hit], two: Sequence[Hit], retriever: UnifiedRetriever
) -> list[Hit]:
    return join(one, two, n=N_READ)


JOINS: dict[str, Callable[..., list[Hit]]] = {
    "second hop alone": lambda question, one, two, retriever: list(two),
    "half of each": _shared,
    "fused by rank": _fused,
    "reranked for the question": _for_the_question,
}


def measure_ways(retriever: UnifiedRetriever, dataset: BeirDataset) -> dict[str, Any]:
    """Recall of every expansion with every join."""
    first = RagPipeline(retriever, n_read=N_READ)
    values: dict[str, dict[str, Values]] = {
        expansion: {way: {"recall": [], "all": []} for way in JOINS} for expansion in EXPANSIONS
    }
    for question in dataset.questions:
        answer = first.answer(question.text)
        one = retriever.search(question.text, k=DEPTH)
        for expansion, more in EXPANSIONS.items():
            # Nothing read is nothing to follow.
            query = f"{question.text} {more(answer)}" if answer.text else question.text
            two = retriever.search(query, k=DEPTH)
            for way, joined in JOINS.items():
                read = joined(question.text, one, two, retriever)[:N_READ]
                found = recall(read, relevant(dataset, question.id))
                values[expansion][way]["recall"].append(found)
                values[expansion][way]["all"].append(float(found == 1))
    return {e: {way: means(v) for way, v in ways.items()} for e, ways in values.items()}


# -- figures --------------------------------------------------------------------------------


def relevant(dataset: BeirDataset, question: str) -> list[str]:
    """The judged passages of a question."""
    judged = dataset.qrels[question].items()
    return [doc_id for doc_id, grade in judged if grade >= dataset.relevance_level]


def recall(hits: Sequence[Hit], wanted: Sequence[str]) -> float:
    """The share of the wanted passages that is among those read."""
    return len({hit.source for hit in hits} & set(wanted)) / len(wanted)


def means(values: Values) -> dict[str, float]:
    """Each measure's mean over the questions."""
    return {measure: round(mean(of_all), 4) for measure, of_all in values.items()}


if __name__ == "__main__":
    typer.run(main)
