"""What a decoder saves by running what rows begin with once: time, and operations counted."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from unimoer_rag.engine import Engine, StateCache
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, Facts, RoundsOption
from unimoer_rag.lab.bench.random_decoder import (
    DecoderSize,
    random_texts,
    save_decoder,
    state_bytes,
)
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.timing import OnRun, alternate, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import (
    EMBED,
    RERANK_CROSS,
    Row,
    Task,
    UniMoER,
    default_token_budget,
    plan_batches,
)

__all__ = ["BENCH", "measure_prefix"]

_PLAIN, _SHARED, _KEPT = "whole rows", "query once", "documents kept"
_TURNED = Task("turned", "cross", RERANK_CROSS.experts, max_tokens=512, document_first=True)
_HEAD = 64  # numbers of an attention head


def measure_prefix(
    *,
    documents: Annotated[int, typer.Option(help="Documents to rerank.")] = 50,
    tokens: Annotated[int, typer.Option(help="Tokens of each.")] = 300,
    query_tokens: Annotated[int, typer.Option(help="Tokens of the query.")] = 24,
    layers: Annotated[int, typer.Option(help="Of the decoder, whose weights are random.")] = 8,
    width: Annotated[int, typer.Option(help="Of the decoder, a multiple of 128.")] = 512,
    rounds: RoundsOption = 5,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Rerank with a decoder: whole rows, the query run once, and documents kept from before.

    Documents are kept where rows begin with them: their states are those of an earlier query.

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
        name: {"seconds": round(taken, 3), "operations": operations[name]}
        for name, taken in seconds.medians().items()
    }
    return report(
        "prefix",
        ratio=seconds.ratio(_PLAIN, _KEPT),
        ratio_shared=seconds.ratio(_PLAIN, _SHARED),
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
        seconds=seconds.rounded(),
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


def _table(found: Facts) -> Table:
    return Table(
        f"{found['documents']} documents of {found['tokens']} tokens; "
        f"{found['kept_bytes'] / 2**20:.0f} MiB of states",
        ("", "seconds", "billion operations"),
        [
            (name, f"{facts['seconds']:.3f}", f"{facts['operations'] / 1e9:.1f}")
            for name, facts in {**found["others"], _KEPT: found["ours"]}.items()
        ],
    )


BENCH = Bench(
    measure_prefix, _table, quick={"documents": 8, "tokens": 64, "layers": 2, "width": 128}
)
