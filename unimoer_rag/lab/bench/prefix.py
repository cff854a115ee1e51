"""What a decoder saves by running what rows begin with once: time, and operations counted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from unimoer_rag.engine import Engine, StateCache
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.random_decoder import (
    DecoderSize,
    random_texts,
    save_decoder,
    state_bytes,
)
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.timing import alternate, median_ratio, rounded
from unimoer_rag.model import (
    EMBED,
    RERANK_CROSS,
    Row,
    Task,
    UniMoER,
    default_token_budget,
    plan_batches,
)

__all__ = ["measure_prefix"]

_PLAIN, _SHARED, _KEPT = "whole rows", "query once", "documents kept"
_TURNED = Task("turned", "cross", RERANK_CROSS.experts, max_tokens=512, document_first=True)
_HEAD = 64  # numbers of an attention head


def measure_prefix(
    *,
    documents: int = 50,
    tokens: int = 300,
    query_tokens: int = 24,
    layers: int = 8,
    width: int = 512,
    rounds: int = 5,
    on_run: Callable[[str, int], None] = lambda side, round_: None,
) -> dict[str, Any]:
    """Rerank documents for one query with a decoder of random weights on the CPU, in three ways.

    By whole rows; with the query's states computed once; and, where rows begin with the document,
    with the states of documents that an earlier query met.

    Args:
        documents: how many.
        tokens: of each.
        query_tokens: of the query.
        layers: of the decoder.
        width: of it, a multiple of 128.
        rounds: measured rounds.
        on_run: see `alternate`.

    Returns:
        See `report`. `ratio` is the time of whole rows over that with the documents kept,
        `ratio_shared` over that with the query once; `operations` are floating-point operations,
        counted, and `kept_bytes` what the documents' states take.

    Raises:
        InputError: there are too few rounds, or the width is no multiple of 128.
    """
    with tempfile.TemporaryDirectory() as scratch:
        model = _load(Path(scratch), layers=layers, width=width)
        query, *texts = random_texts(model, [query_tokens, *[tokens] * documents])
        room = 2 * documents * (tokens + _HEAD) * state_bytes(model)
        with Engine(model, cache_bytes=room) as once, Engine(model, cache_bytes=room) as kept:
            kept.score(query, texts, task=_TURNED.name)

            def plain() -> None:
                model.share_prefixes = False
                once.score(query, texts, task=RERANK_CROSS.name)

            def shared() -> None:
                model.share_prefixes = True
                once.cache.clear()
                once.score(query, texts, task=RERANK_CROSS.name)

            def known() -> None:
                model.share_prefixes = True
                kept.score(query, texts, task=_TURNED.name)

            sides = {_PLAIN: plain, _SHARED: shared, _KEPT: known}
            seconds = alternate(sides, rounds=rounds, on_run=on_run)
            kept_bytes = kept.cache.nbytes
        pairs = [(query, text) for text in texts]
        count = partial(_operations, model, room=room)
        operations = {
            _PLAIN: count(model.rows.pairs(pairs, RERANK_CROSS), share=False),
            _SHARED: count(model.rows.pairs(pairs, RERANK_CROSS)),
            _KEPT: count(model.rows.pairs(pairs, _TURNED), warm=True),
        }
        parameters = sum(p.numel() for p in model.backbone.parameters())
    facts = {
        name: {"seconds": round(median(taken), 3), "operations": operations[name]}
        for name, taken in seconds.items()
    }
    return report(
        "prefix",
        ratio=median_ratio(seconds, _PLAIN, _KEPT),
        ratio_shared=median_ratio(seconds, _PLAIN, _SHARED),
        operations_ratio=round(operations[_PLAIN] / operations[_KEPT], 4),
        operations_ratio_shared=round(operations[_PLAIN] / operations[_SHARED], 4),
        kept_bytes=kept_bytes,
        documents=documents,
        tokens=tokens,
        query_tokens=query_tokens,
        layers=layers,
        width=width,
        parameters=parameters,
        rounds=rounds,
        ours=facts.pop(_KEPT),
        others=facts,
        seconds=rounded(seconds),
    )


def _load(folder: Path, *, layers: int, width: int) -> UniMoER:
    """A token-routed decoder on the CPU; its files go to the folder."""
    if width < 2 * _HEAD or width % (2 * _HEAD):
        raise InputError(f"width is {width}: expected a multiple of {2 * _HEAD}")
    size = DecoderSize(
        layers=layers, width=width, heads=width // _HEAD, head_size=_HEAD, inner=3 * width
    )
    save_decoder(folder, size)
    return UniMoER.from_backbone(
        str(folder), device="cpu", router="token", tasks=(EMBED, RERANK_CROSS, _TURNED)
    )


def _operations(
    model: UniMoER, rows: list[Row], *, room: int, share: bool = True, warm: bool = False
) -> int:
    """Floating-point operations over some rows' batches."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model.share_prefixes = share
    store = StateCache(room)
    plan = plan_batches([len(row.ids) for row in rows], default_token_budget(model.device))

    def run() -> None:
        for batch in plan:
            model.run([rows[at] for at in batch], store)

    if warm:
        run()
    # By plain products, which are counted on a CPU too.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return int(counter.get_total_flops())
