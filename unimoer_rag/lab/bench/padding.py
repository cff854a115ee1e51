"""What batches without padding save: the same passages embedded by either, in one model."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.engine import Engine
from unimoer_rag.lab.bench.bench import (
    Bench,
    DeviceOption,
    Facts,
    PassagesOption,
    RoundsOption,
)
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.texts import make_passages
from unimoer_rag.lab.bench.timing import OnRun, alternate, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import load_own

__all__ = ["BENCH", "measure_padding"]

_PADDED, _PACKED = "padded", "without padding"


def measure_padding(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    passages: PassagesOption = 1000,
    rounds: RoundsOption = 5,
    device: DeviceOption = "auto",
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Embed passages in padded batches and without padding.

    Returns:
        See `report`. `ratio` is the time with padding over the time without; `padding` the share of
        padded tokens; `furthest_cosine` the smallest cosine between a passage's two embeddings;
        `kernels` whether torch has kernels for it there.

    Raises:
        InputError: there are too few rounds, or the backbone does not run without padding.
    """
    from unimoer_rag.model import has_kernels

    model = load_own(checkpoint, device=device)
    texts = make_passages(model.tokenizer, passages)
    vectors = {}
    with Engine(model, cache_bytes=0) as engine:

        def embed(side: str) -> None:
            model.set_unpadded(side == _PACKED)
            vectors[side] = engine.embed(texts)

        embed(_PADDED)
        stats = engine.stats
        padding = 1 - stats.tokens / stats.padded
        sides = {name: partial(embed, name) for name in (_PADDED, _PACKED)}
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
    medians = {name: round(taken, 3) for name, taken in seconds.medians().items()}
    return report(
        "padding",
        ratio=seconds.ratio(_PADDED, _PACKED),
        padding=round(padding, 4),
        furthest_cosine=round(float(np.min((vectors[_PADDED] * vectors[_PACKED]).sum(-1))), 5),
        kernels=has_kernels(model.device, model.dtype),
        checkpoint=checkpoint,
        passages=passages,
        rounds=rounds,
        ours={"seconds": medians[_PACKED]},
        others={_PADDED: {"seconds": medians[_PADDED]}},
        seconds=seconds.rounded(),
    )


def _table(found: Facts) -> Table:
    return Table(
        f"{found['padding']:.1%} of padding; kernels: {'yes' if found['kernels'] else 'none here'}",
        ("", "seconds"),
        [
            (name, f"{facts['seconds']:.3f}")
            for name, facts in {**found["others"], _PACKED: found["ours"]}.items()
        ],
    )


BENCH = Bench(measure_padding, _table, quick={"passages": 24})
