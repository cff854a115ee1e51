"""What another backbone costs: the same passages embedded by each, in turns, in one process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, DeviceOption, Facts, PassagesOption, RoundsOption
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.texts import make_passages
from unimoer_rag.lab.bench.timing import OnRun, alternate, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import UniMoER

__all__ = ["BENCH", "measure_backbones"]

BackboneOption = Annotated[
    list[str] | None,
    typer.Option("--backbone", help="Beside minilm, again for more [all-mpnet-base-v2]."),
]


def measure_backbones(
    *,
    backbone: BackboneOption = None,
    passages: PassagesOption = 200,
    rounds: RoundsOption = 5,
    device: DeviceOption = "auto",
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Embed the same passages on minilm and on other backbones, each in its default precision.

    Returns:
        See `report`. `ratio` is the time of the first other one over that of minilm. Of each:
        `tokens_a_second`, `dtype`, `dimension`, `bytes` of its weights, and the ratio of both to
        minilm's.

    Raises:
        BackboneError: a backbone cannot be had.
        InputError: there are too few rounds.
    """
    names = ["minilm", *(backbone or ["all-mpnet-base-v2"])]
    if len(set(names)) < len(names):
        raise InputError(f"minilm is always measured: name others, each once (got {names[1:]})")
    models = {name: UniMoER.from_pretrained(name, device=device) for name in names}
    texts = make_passages(models["minilm"].tokenizer, passages)
    engines = {name: Engine(model, cache_bytes=0) for name, model in models.items()}
    try:
        sides: dict[str, Callable[[], Any]] = {
            name: partial(engine.embed, texts) for name, engine in engines.items()
        }
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
    finally:
        for engine in engines.values():
            engine.close()
    taken = seconds.medians()
    facts = {
        name: _facts(model, texts, taken[name], taken["minilm"] / taken[name])
        for name, model in models.items()
    }
    for found in facts.values():
        found["bytes_ratio"] = round(found["bytes"] / facts["minilm"]["bytes"], 2)
    return report(
        "backbones",
        ratio=seconds.ratio(names[1], "minilm"),
        passages=passages,
        rounds=rounds,
        ours=facts.pop("minilm"),
        others=facts,
        seconds=seconds.rounded(),
    )


def _facts(model: UniMoER, texts: list[str], taken: float, speed: float) -> dict[str, Any]:
    limit = model.task("embed").max_tokens
    tokens = sum(min(model.rows.count(text) + 2, limit) for text in texts)
    return {
        "dtype": str(model.dtype).removeprefix("torch."),
        "dimension": model.dimension,
        "bytes": sum(p.numel() * p.element_size() for p in model.backbone.parameters()),
        "tokens_a_second": round(tokens / taken),
        "speed_ratio": round(speed, 3),
    }


def _table(found: Facts) -> Table:
    sides = {"minilm": found["ours"], **found["others"]}
    return Table(
        f"the same {found['passages']} passages embedded",
        ("backbone", "dtype", "dimensions", "weights", "tokens a second", "speed", "memory"),
        [
            (
                name,
                each["dtype"],
                str(each["dimension"]),
                f"{each['bytes'] / 1e6:,.0f} MB",
                f"{each['tokens_a_second']:,}",
                f"{each['speed_ratio']:.2f}x",
                f"{each['bytes_ratio']:.1f}x",
            )
            for name, each in sides.items()
        ],
    )


BENCH = Bench(measure_backbones, _table, quick={"passages": 16})
