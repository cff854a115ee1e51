"""Measure what training steps of a recipe on a decoder take: seconds, tokens, memory.

    python scripts/measure_training.py --json OUT.json [--backbone NAME --data DIR] [--steps 40]

Without a backbone, a decoder of random weights is made: its speed is that of a trained one, and
what it learns means nothing. Without data, texts are drawn from its own words, with questions that
are parts of a passage.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Annotated, Any

import torch
import typer

from unimoer_rag.cli import errors, quiet, save_json
from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.lab.bench.random_decoder import SIZES, random_texts, save_decoder
from unimoer_rag.lab.bench.report import describe_machine
from unimoer_rag.model import UniMoER
from unimoer_rag.retrieval import Document
from unimoer_rag.training import find_recipe, overridden, train

# The first steps choose kernels and fill the allocator.
WARMUP = 3
QUERY, ANSWER = 12, 3
"""Words of a made question, and of its answer."""


def main(
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    backbone: Annotated[str | None, typer.Option(help="A decoder, in place of a random one.")] = (
        None
    ),
    data: Annotated[Path | None, typer.Option(help="Folder of the recipe's data sets.")] = None,
    recipe: Annotated[str, typer.Option(help="Name or file.")] = "qwen3-0.6b",
    size: Annotated[str, typer.Option(help="Of a random decoder.")] = "qwen3-0.6b",
    steps: Annotated[int, typer.Option(min=1, help="How many.")] = 40,
    passages: Annotated[int, typer.Option(min=20, help="Passages of each set searched.")] = 1000,
) -> None:
    """Train so many steps, and write what they took."""
    quiet()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "decoder"
        if backbone is None:
            folder.mkdir()
            save_decoder(folder, SIZES[size])
        few = 40 if size == "tiny" and backbone is None else passages
        changes = [
            f"backbone={backbone or folder}",
            f"optimizer.steps={steps}",
            f"mining.passages={few}",
            f"mining.questions={few}",
        ]
        chosen = overridden(find_recipe(recipe), changes)
        model = UniMoER.from_backbone(chosen.backbone)
        sets = {} if data else {name: made(model, name, few) for name in chosen.sources}
        parameters = sum(p.numel() for p in model.backbone.parameters())
        device = model.device
        del model
        told: list[dict[str, Any]] = []

        def on_step(report: dict[str, Any]) -> None:
            told.append(report)
            errors.print(f"step {report['step']}: {report['loss']}, {report['seconds']} s")

        train(chosen, data=data, sets=sets, output=Path(scratch) / "run", on_step=on_step)
    save_json(
        {
            "recipe": chosen.name,
            "backbone": backbone or f"random, of the size {size}",
            "texts": "the recipe's data sets" if data else "drawn from the decoder's words",
            "device": str(device),
            "parameters": parameters,
            **measured(told),
            "peak_gpu_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
            "losses": [report["losses"] for report in told],
            "machine": describe_machine(),
        },
        json_path,
    )


def measured(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds and tokens of the steps after the first, with the quartiles of the speed."""
    kept = told[WARMUP:] or told
    speeds = [report["tokens"] / max(report["seconds"], 1e-3) for report in kept]
    low, median, high = quantiles(speeds, n=4) if len(speeds) > 1 else speeds * 3
    return {
        "steps": len(kept),
        "tokens_a_second": round(median),
        "tokens_a_second_quartiles": [round(low), round(high)],
        "seconds": [report["seconds"] for report in kept],
        "tokens": [report["tokens"] for report in kept],
    }


def made(model: UniMoER, name: str, n: int) -> BeirDataset:
    """Passages of 40 to 300 words, each with a question that is a part of it and has an answer."""
    choice = Random(name)
    texts = random_texts(model, [choice.randint(40, 300) for _ in range(n)])
    corpus = {f"d{at}": Document(text, f"d{at}") for at, text in enumerate(texts)}
    questions = []
    for at, text in enumerate(texts):
        words = text.split()
        first = choice.randrange(len(words) - QUERY)
        answer = " ".join(words[first : first + ANSWER])
        asked = " ".join(words[first : first + QUERY])
        questions.append(Question(f"q{at}", asked, answers=(answer,), context=f"d{at}"))
    judged = {question.id: {f"d{at}": 1} for at, question in enumerate(questions)}
    return BeirDataset(name, "train", corpus, questions, judged)


if __name__ == "__main__":
    typer.run(main)
