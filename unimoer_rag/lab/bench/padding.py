"""What batches without padding save: the same passages embedded by either, in one model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from unimoer_rag.engine import Engine
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.texts import make_passages
from unimoer_rag.lab.bench.timing import alternate, median_ratio, rounded
from unimoer_rag.model import load_own

__all__ = ["measure_padding"]

_PADDED, _PACKED = "padded", "without padding"


def measure_padding(
    checkpoint: str = "unimoer-minilm",
    *,
    passages: int = 1000,
    rounds: int = 5,
    device: str = "auto",
    on_run: Callable[[str, int], None] = lambda side, round_: None,
) -> dict[str, Any]:
    """Embed passages with padding and without, in turns.

    Args:
        checkpoint: the model, in the precision it takes by itself.
        passages: how many, of 8 to 250 tokens.
        rounds: measured rounds.
        device: where it runs.
        on_run: see `alternate`.

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
    medians = {name: round(median(taken), 3) for name, taken in seconds.items()}
    return report(
        "padding",
        ratio=median_ratio(seconds, _PADDED, _PACKED),
        padding=round(padding, 4),
        furthest_cosine=round(float(np.min((vectors[_PADDED] * vectors[_PACKED]).sum(-1))), 5),
        kernels=has_kernels(model.device, model.dtype),
        checkpoint=checkpoint,
        passages=passages,
        rounds=rounds,
        ours={"seconds": medians[_PACKED]},
        others={_PADDED: {"seconds": medians[_PADDED]}},
        seconds=rounded(seconds),
    )
