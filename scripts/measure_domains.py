"""Measure what the experts of a domain gain, by how many questions they have learnt from.

    python scripts/measure_domains.py --data DIR --output results/domains --cache DIR

A fifth of each set's questions, drawn by their words, is held out. A cell is a data set with so
many of the others: the recipe `minilm-domain` as `unimoer-rag experts add DOMAIN --own` runs it;
"none" has sentences of the passages in place of questions. Held-out questions are searched for
among all passages, the best fifty reranked, by the frozen backbone and by the experts; those whose
passages no question answered that was learnt from are told by themselves too. A cell that has its
file is not run again; the passages, as the frozen backbone has them, are encoded once a set, and
anew where the experts read documents too. With --name a cell of another recipe has a file of its
own, SET-SIZE-NAME.json.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli import quiet, save_json
from unimoer_rag.data import BeirDataset, beir_set, load_beir
from unimoer_rag.lab.domains import (
    SETS,
    SIZES,
    compared,
    encoded,
    material,
    measured,
    parted,
    processor,
    read_by,
)
from unimoer_rag.model import load_own
from unimoer_rag.training import Recipe, find_recipe, overridden
from unimoer_rag.training.extending.domain import learn_domain
from unimoer_rag.training.objectives.kept import KeptOutputs


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    output: Annotated[Path, typer.Option(help="Folder of the figures, a file a cell.")],
    cache: Annotated[Path, typer.Option(help="Folder of encoded passages and of runs.")],
    sets: Annotated[str, typer.Option(help="Data sets, comma-separated.")] = (",".join(SETS)),
    sizes: Annotated[str, typer.Option(help="Questions learnt from, comma-separated.")] = (
        ",".join(SIZES)
    ),
    checkpoint: Annotated[str, typer.Option(help="What the experts are added to.")] = (
        "unimoer-minilm"
    ),
    recipe: Annotated[str, typer.Option(help="Name or file.")] = "minilm-domain",
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE.")] = None,
    name: Annotated[str, typer.Option(help="Of another way to learn, for its files.")] = "",
) -> None:
    """Measure what is not measured yet, and write it."""
    quiet()
    chosen = overridden(find_recipe(recipe), settings or [])
    for domain in sets.split(","):
        cells = {size: "-".join(filter(None, (domain, size, name))) for size in sizes.split(",")}
        left = {s: cell for s, cell in cells.items() if not (output / f"{cell}.json").is_file()}
        if not left:
            continue
        dataset = load_beir(data / domain, "train")
        held, others = parted(dataset)
        passages = encoded(load_own(checkpoint), dataset, cache / f"enc-{domain}.safetensors")
        assert passages.states is not None
        texts = [dataset.corpus[i].content for i in passages.ids]
        kept = cache / f"before-{domain}.json"
        if not kept.is_file():
            save_json(measured(load_own(checkpoint), dataset, held, passages), kept)
        before = json.loads(kept.read_text(encoding="utf-8"))
        for size, cell in left.items():
            folder = cache / cell
            train = material(dataset, others, size)
            model = load_own(checkpoint)
            outputs: KeptOutputs = {"rerank": dict(zip(texts, passages.states, strict=True))}
            started = time.process_time()
            finished, _ = learn_domain(
                model, domain, chosen, train, run=folder, cache=cache / "mined", outputs=outputs
            )
            if not finished:
                raise SystemExit(f"interrupted at {cell}: the same command goes on")
            seconds = time.process_time() - started
            if model.task("embed").queries_only:
                # What a first run encodes, and this one knew.
                seconds += passages.seconds * searched(train, chosen)
            after = measured(model, dataset, held, read_by(model, dataset, passages))
            found = {
                "dataset": domain,
                "size": size,
                "name": name,
                "questions": len(train.questions),
                "held_out": len(held),
                "passages": len(dataset.corpus),
                "cpu_seconds": round(seconds, 1),
                "processor": processor(),
                "recipe": chosen.model_dump(mode="json"),
                "differences": compared(before, after, range(len(held))),
            }
            learnt = {passage for grades in train.qrels.values() for passage in grades}
            new = [at for at, q in enumerate(held) if learnt.isdisjoint(dataset.qrels[q.id])]
            if new and size != "none":
                found["differences_on_new_passages"] = compared(before, after, new)
            output.mkdir(parents=True, exist_ok=True)
            save_json(found, output / f"{cell}.json")
            shutil.rmtree(folder)
            typer.echo(json.dumps({k: v for k, v in found.items() if k != "recipe"}))


def searched(train: BeirDataset, recipe: Recipe) -> int:
    """How many passages a run encodes."""
    groups = beir_set(train)
    answers = {groups.texts[group.positive] for group in groups.groups}
    every = answers if recipe.mining.answers_only else train.corpus
    return min(recipe.mining.passages, len(every))


if __name__ == "__main__":
    typer.run(main)
