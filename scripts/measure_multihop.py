"""Measure what a second hop finds, and the ways there are to make one.

    python scripts/measure_multihop.py --data DIR --json results/multihop.json

For every set under DIR: how often all judged passages are among the five read, by one search, by
`pipelines.multihop` and by parts of it, and by Iter-RetGen (the first answer joins the question;
Shao et al. 2023, 2305.15294). For sets of few questions also the reader's answers after one hop
and after two, and given the judged passages alone, which is what it could reach. What a
name is worth was chosen on the sets of `--chosen-on`, whose curve is told.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
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
from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.pipelines.multihop import (
    LEADERS,
    NAMED,
    by_place,
    choose,
    find_alike,
    find_named,
    leads,
    rank,
)
from unimoer_rag.retrieval import Hit, Passage, UnifiedRetriever
from unimoer_rag.steps import run

TWO_HOPS = "two hops"
N_READ, DEPTH = 5, 50
# Questions of each set that the pipeline itself is asked too; and of a set to choose on, at most.
N_CHECKED, N_CHOOSING = 5, 60
# Questions of a set whose answers are read.
N_ANSWERED = 50
GAINS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
# Token states of a corpus that no index keeps: each passage is encoded once.
_CACHE_BYTES = 2 * 2**30

Values = dict[str, list[float]]


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    checkpoint: Annotated[str, typer.Option(help="The model.")] = "unimoer-minilm",
    sets: Annotated[
        str, typer.Option(help="Data sets to report.")
    ] = "hotpotqa-hard,hotpotqa,musique",
    chosen_on: Annotated[
        str, typer.Option(help="Data sets that a name's worth is chosen on.")
    ] = "2wiki-train,hotpotqa,musique",
    questions: Annotated[
        int | None, typer.Option(help="Of each set at most, over fewer passages; all by default.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Leave sets as they are that the JSON has already.")
    ] = False,
) -> None:
    """Measure and write."""
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    reported, choosing = sets.split(","), chosen_on.split(",")
    measured: dict[str, Any] = {}
    if resume and json_path.exists():
        measured = json.loads(json_path.read_text(encoding="utf-8"))["sets"]
    for name in dict.fromkeys([*reported, *choosing]):
        if name in measured:
            continue
        dataset = load_beir(data / name, "train" if name.endswith("-train") else "dev")
        if name not in reported:
            dataset = dataset.limit(N_CHOOSING)
        if questions is not None and questions < len(dataset.questions):
            dataset = fewer(dataset, questions, data / name)
        with UnifiedRetriever(model, chunking="whole", rerank=DEPTH) as retriever:
            retriever.engine.cache.capacity = _CACHE_BYTES
            retriever.add(dataset.corpus.values())
            errors.print(f"{name}: {retriever.count()} passages")
            measured[name] = measure(retriever, dataset)
        errors.print(f"{name}: {measured[name]}")
        save_json(told(model, checkpoint, choosing, measured, json_path), json_path)


def told(
    model: UniMoER,
    checkpoint: str,
    choosing: Sequence[str],
    measured: dict[str, Any],
    json_path: Path,
) -> dict[str, Any]:
    """What is written, of the sets measured so far."""
    chosen_on = [name for name in choosing if name in measured]
    return {
        "command": f"python scripts/measure_multihop.py --data DIR --json {json_path}",
        "checkpoint": checkpoint,
        "dtype": str(model.dtype).removeprefix("torch."),
        "n_read": N_READ,
        "rerank": DEPTH,
        "gain_of_a_name": {
            "chosen_on": chosen_on,
            "macro": _macro([measured[name] for name in chosen_on]),
            "ships": NAMED,
        },
        "sets": measured,
    }


def fewer(dataset: BeirDataset, n: int, folder: Path) -> BeirDataset:
    """Some questions over the passages judged or meant to mislead for them, and as many others."""
    small = dataset.limit(n)
    chosen = {question.id for question in small.questions}
    needed = {doc_id for docs in small.qrels.values() for doc_id in docs}
    for path in folder.glob("queries.*.jsonl.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        needed |= {
            each for row in rows if row["_id"] in chosen for each in row.get("negatives", [])
        }
    needed &= small.corpus.keys()
    others = sorted(small.corpus.keys() - needed)
    random.Random(0).shuffle(others)
    kept = needed | set(others[: len(needed)])
    return replace(small, corpus={d: text for d, text in small.corpus.items() if d in kept})


def _macro(figures: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How often everything is read, by what a name is worth, each set weighing the same."""
    if not figures:
        return {}
    return {
        str(gain): round(mean(each["all_by_gain"][str(gain)] for each in figures), 4)
        for gain in GAINS
    }


def measure(retriever: UnifiedRetriever, dataset: BeirDataset) -> dict[str, Any]:
    """All figures of a set; the answers too where its questions are few: reading takes long."""
    whole = len(dataset.questions) <= N_ANSWERED
    found: dict[str, Values] = {}
    gains: dict[str, list[float]] = {str(gain): [] for gain in GAINS}
    answers: Values = {"one hop": [], TWO_HOPS: []}
    reader = ExtractiveReader(retriever.engine)
    for at, question in enumerate(dataset.questions):
        wanted = relevant(dataset, question.id)
        one = retriever.search(question.text, k=DEPTH)
        second = _Second(retriever, question.text, one)
        ways = {"one hop": one[:N_READ]} | second.ways()
        if at < N_CHECKED:
            check(retriever, question.text, ways)
        if whole:
            texts = {way: reader.generate(question.text, ways[way]).text or "" for way in answers}
            for way, text in texts.items():
                answers[way].append(100 * f1(text, question.answers or (), rules="squad"))
            read = _with_answer(retriever, question.text, texts["one hop"], one)
            ways["the answer joins the question"] = read
        for way, hits in ways.items():
            values = found.setdefault(way, {"recall": [], "all": []})
            values["recall"].append(recall(hits, wanted))
            values["all"].append(float(values["recall"][-1] == 1))
        for gain, kept in gains.items():
            kept.append(float(recall(second.read(gain=float(gain)), wanted) == 1))
    told: dict[str, Any] = {
        "questions": len(dataset.questions),
        "passages": len(dataset.corpus),
        "ways": {way: means(values) for way, values in found.items()},
        "second_hop_against_first": {
            measure: against(found["one hop"][measure], found[TWO_HOPS][measure])
            for measure in ("recall", "all")
        },
        "all_by_gain": {gain: round(mean(values), 4) for gain, values in gains.items()},
    }
    if whole:
        told["f1"] = {way: round(mean(values), 2) for way, values in answers.items()}
        told["f1_second_hop_against_first"] = against(answers["one hop"], answers[TWO_HOPS])
        told["f1_from_judged_passages"] = judged_f1(retriever, dataset)
    return told


def check(retriever: UnifiedRetriever, question: str, ways: dict[str, list[Hit]]) -> None:
    """The pipeline reads what is measured here."""
    for hops, way in ((1, "one hop"), (2, TWO_HOPS)):
        answer = RagPipeline(retriever, n_read=N_READ, hops=hops).answer(question)
        assert [hit.id for hit in answer.hits] == [hit.id for hit in ways[way]], question


# -- ways to make a second hop --------------------------------------------------------------


class _Second:
    """A second hop and its parts, everything ranked once."""

    def __init__(self, retriever: UnifiedRetriever, question: str, one: list[Hit]) -> None:
        leaders = one[:LEADERS]
        alike = find_alike(retriever, question, leaders, None)
        named = find_named(retriever, question, leaders, None)
        self._hits, places = run(rank(retriever, question, leaders, [*one, *alike, *named]))
        began = retriever.pair_hits(question, self._hits, len(leaders))
        assert began is not None, "the model keeps no token states"
        self._values = began.result()
        self._by_place = by_place(places, len(leaders))
        self._named = leads(leaders, self._hits)
        self._one, self._alike, self._by_name = ({h.id for h in x} for x in (one, alike, named))

    def read(self, among: set[str] | None = None, *, gain: float = NAMED) -> list[Hit]:
        """The passages read, of those among these ids."""
        at = [p for p, hit in enumerate(self._hits) if among is None or hit.id in among]
        chosen = choose(self._values[:, at], self._named[:, at], N_READ, gain=gain)
        return [self._hits[at[place]] for place in chosen]

    def ways(self) -> dict[str, list[Hit]]:
        """What the whole reads, and what its parts do."""
        places = choose(self._by_place, self._named, N_READ)
        return {
            "pairs of what one hop finds": self.read(self._one, gain=0),
            "and of what is found with a leader's text": self.read(self._one | self._alike, gain=0),
            "pairs of what one hop finds and leaders name": self.read(self._one | self._by_name),
            TWO_HOPS: self.read(),
            "two hops, pairs by the places of both": [self._hits[at] for at in places],
        }


def _with_answer(
    retriever: UnifiedRetriever, question: str, answer: str, one: list[Hit]
) -> list[Hit]:
    """The better half of what was read, and what is found with the answer in the question."""
    kept = one[: N_READ // 2]
    two = retriever.search(f"{question} {answer}".strip(), k=DEPTH)
    known = {hit.id for hit in kept}
    return [*kept, *(hit for hit in two if hit.id not in known)][:N_READ]


# -- answers --------------------------------------------------------------------------------


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


def against(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """The paired gain of the second over the first, with its bootstrap interval."""
    gain = compare(first, second)
    return {
        "difference": round(gain.difference, 4),
        "interval": [round(gain.low, 4), round(gain.high, 4)],
        "p_value": round(gain.p_value, 4),
    }


if __name__ == "__main__":
    typer.run(main)
