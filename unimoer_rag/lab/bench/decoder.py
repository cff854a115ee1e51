"""A decoder on whatever device there is: encoding and reranking, beside what people would use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import nn

from unimoer_rag.cost import count_operations
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, DeviceOption, Facts, RoundsOption
from unimoer_rag.lab.bench.decoder_rivals import open_embedders, score_pairs
from unimoer_rag.lab.bench.encode import cosines
from unimoer_rag.lab.bench.random_decoder import (
    POSITIONS,
    SIZES,
    random_texts,
    save_decoder,
    state_bytes,
)
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.roofline import measure_peak
from unimoer_rag.lab.bench.timing import (
    OnRun,
    Seconds,
    alternate,
    check_rounds,
    silent,
)
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import EMBED, Row, Task, UniMoER, choose_device

__all__ = ["BENCH", "ENCODE", "RERANK", "RERANK_SEEN", "measure_decoder"]

ENCODE, RERANK, RERANK_SEEN = "encode", "rerank", "rerank, documents seen"
"""What is measured of ours; keys of the report."""

# No experts: all sides run the very same weights.
_EMBED = replace(EMBED, experts=(), max_tokens=POSITIONS)
_PAIR = Task("pair", "cross", (), max_tokens=POSITIONS)
_TURNED = replace(_PAIR, name="turned", document_first=True)
_FRAME = 64  # more tokens than stand around the two texts of a pair

Scores = NDArray[np.float32]
Race = Callable[[Mapping[str, Callable[[], Any]]], Seconds]


def measure_decoder(
    size: Annotated[
        str | None,
        typer.Option(
            help="tiny, small or qwen3-0.6b; by default small on CPUs and the last elsewhere."
        ),
    ] = None,
    *,
    passages: Annotated[int, typer.Option(help="Passages to embed, of mixed lengths.")] = 128,
    tokens: Annotated[
        int, typer.Option(help="Tokens of the longest of them; the shortest have a sixteenth.")
    ] = 512,
    queries: Annotated[int, typer.Option(help="Queries, one after the other.")] = 2,
    documents: Annotated[int, typer.Option(help="Documents to rerank for each.")] = 50,
    document_tokens: Annotated[int, typer.Option(help="Tokens of each document.")] = 300,
    query_tokens: Annotated[int, typer.Option(help="Tokens of each query.")] = 24,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            help="Rows a batch of the rivals, again for more; by default 32 and 8 or 128."
        ),
    ] = None,
    rounds: RoundsOption = 5,
    device: DeviceOption = "auto",
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Embed and rerank with a random decoder, against sentence-transformers and transformers.

    Documents are reranked in two ways: after the query, which runs once for all of them where that
    saves enough, and before it, with the states kept that an earlier query left.

    Returns:
        See `report`. `ratio` is against sentence-transformers with its default attention and the
        first of the batches, `ratio_to_best` with its fastest of both; `ratio_rerank` and
        `ratio_rerank_seen` are against the fastest loop over transformers. `utilisation` is the
        share of `peak_tflops`, that of a large matrix product, which the operations of the real
        tokens reach.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: the size or device is unknown, the texts take too many tokens, or there are
            too few rounds.
    """
    check_rounds(rounds)
    size = size or ("small" if choose_device(device).type == "cpu" else "qwen3-0.6b")
    if size not in SIZES:
        raise InputError(f"unknown size {size!r}: expected one of {', '.join(SIZES)}")
    with tempfile.TemporaryDirectory() as scratch:
        save_decoder(Path(scratch), SIZES[size])
        model = _load(Path(scratch), device)
        rivals, refused = open_embedders(Path(scratch), device=model.device, dtype=model.dtype)
        batches = batch or [32, 8 if model.device.type == "cpu" else 128]
        plain = rivals["sdpa"][0].model
        mixed = _mixed(model, passages, tokens)
        lengths = [query_tokens] * queries + [document_tokens] * documents
        texts = random_texts(model, lengths)
        asked, given = texts[:queries], texts[queries:]
        pairs = [(asked[0], document) for document in given]
        for rows in (
            model.rows.single(mixed, _EMBED),
            model.rows.pairs(pairs, _PAIR),
            model.rows.pairs(pairs, _TURNED),
        ):
            _check_whole(rows)
        race = partial(alternate, rounds=rounds, on_run=on_run)
        encoded = _encode(model, rivals, mixed, batches, race)
        reranked = _rerank(model, plain, asked, given, batches, race)
    seconds = Seconds(encoded.pop("seconds") | reranked.pop("seconds"))
    return report(
        "decoder",
        size=size,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        unpadded=model.unpadded,
        parameters=sum(p.numel() for p in plain.parameters()),
        passages=passages,
        tokens=tokens,
        queries=queries,
        documents=documents,
        document_tokens=document_tokens,
        query_tokens=query_tokens,
        batches=batches,
        rounds=rounds,
        ours=encoded.pop("ours") | reranked.pop("ours"),
        others=encoded.pop("others") | reranked.pop("others"),
        **encoded,
        **reranked,
        not_run=refused,
        seconds=seconds.rounded(),
    )


def _load(folder: Path, device: str) -> UniMoER:
    """Ours, as users load it, with the tasks of this benchmark."""
    model = UniMoER.from_pretrained(folder, device=device)
    model.change_task(_EMBED)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for task in (_PAIR, _TURNED):
            model.add_task(task)
            head: Any = model.heads[task.name]
            nn.init.normal_(head.out.weight)  # zeros would score all alike
    return model


def _mixed(model: UniMoER, passages: int, tokens: int) -> list[str]:
    """Passages whose lengths are spread evenly, the end-of-text token counted."""
    choice = Random(0)
    lengths = [choice.randint(tokens // 16, tokens) for _ in range(passages)]
    return random_texts(model, [max(length - 1, 1) for length in lengths])


def _encode(
    model: UniMoER,
    rivals: Mapping[str, Any],
    texts: list[str],
    batches: Sequence[int],
    race: Race,
) -> dict[str, Any]:
    vectors: dict[str, NDArray[np.float32]] = {}
    lengths = [len(row.ids) for row in model.rows.single(texts, _EMBED)]
    with Engine(model, cache_bytes=0) as engine:

        def ours() -> None:
            vectors[ENCODE] = engine.embed(texts)

        def theirs(name: str, rival: Any, batch: int) -> None:
            found = rival.encode(texts, batch_size=batch, normalize_embeddings=True)
            vectors[name] = found.astype(np.float32)

        sides: dict[str, Callable[[], None]] = {ENCODE: ours}
        for attention, rival in rivals.items():
            for batch in batches:
                name = f"sentence-transformers, {attention}, batches of {batch}"
                sides[name] = partial(theirs, name, rival, batch)
        seconds = race(sides)
    n_tokens, operations = sum(lengths), count_operations(model, lengths)
    peak = measure_peak(model.dtype, model.device)
    facts: dict[str, dict[str, Any]] = {
        name: {
            "seconds": round(taken, 4),
            "tokens_a_second": round(n_tokens / taken),
            "tflops": round(operations / taken / 1e12, 3),
            "utilisation": round(operations / taken / peak, 3),
        }
        for name, taken in seconds.medians().items()
    }
    mine = facts.pop(ENCODE)
    for name in facts:
        facts[name]["cosine_to_ours"] = cosines(vectors[ENCODE], vectors[name])
    default, *_ = facts
    best = _fastest(facts)
    return {
        "ratio": seconds.ratio(default, ENCODE),
        "ratio_to_best": seconds.ratio(best, ENCODE),
        "best": best,
        "peak_tflops": round(peak / 1e12, 3),
        "total_tokens": n_tokens,
        "ours": {ENCODE: mine},
        "others": facts,
        "seconds": seconds,
    }


def _rerank(
    model: UniMoER,
    plain: Any,
    queries: list[str],
    documents: list[str],
    batches: Sequence[int],
    race: Race,
) -> dict[str, Any]:
    room = len(documents) * (_FRAME + model.rows.count(max(documents, key=len)))
    scores: dict[str, Scores] = {}
    with ExitStack() as stack:
        once, kept = (
            stack.enter_context(Engine(model, cache_bytes=room * state_bytes(model)))
            for _ in range(2)
        )

        def score(engine: Engine, task: Task) -> Scores:
            return np.stack([engine.score(query, documents, task=task.name) for query in queries])

        def unseen() -> None:
            once.cache.clear()
            scores[_PAIR.name] = score(once, _PAIR)

        def seen() -> None:
            scores[_TURNED.name] = score(kept, _TURNED)

        def theirs(batch: int, task: Task = _PAIR) -> Scores:
            pairs = ([(query, document) for document in documents] for query in queries)
            rows = (model.rows.pairs(some, task) for some in pairs)
            return np.stack([score_pairs(plain, model, some, batch=batch) for some in rows])

        # The warm-up leaves the documents' states for the rounds.
        sides: dict[str, Callable[[], Any]] = {RERANK: unseen, RERANK_SEEN: seen}
        for batch in batches:
            sides[f"transformers, sdpa, batches of {batch}"] = partial(theirs, batch)
        seconds = race(sides)
        kept_bytes = kept.cache.nbytes
    facts: dict[str, dict[str, Any]] = {
        name: {
            "seconds": round(taken, 4),
            "milliseconds_a_query": round(1000 * taken / len(queries), 1),
        }
        for name, taken in seconds.medians().items()
    }
    mine = {name: facts.pop(name) for name in (RERANK, RERANK_SEEN)}
    mine[RERANK] |= _agreement(scores[_PAIR.name], theirs(batches[0]))
    mine[RERANK_SEEN] |= _agreement(scores[_TURNED.name], theirs(batches[0], _TURNED))
    mine[RERANK_SEEN]["kept_bytes"] = kept_bytes
    best = _fastest(facts)
    return {
        "ratio_rerank": seconds.ratio(best, RERANK),
        "ratio_rerank_seen": seconds.ratio(best, RERANK_SEEN),
        "best_rerank": best,
        "ours": mine,
        "others": facts,
        "seconds": seconds,
    }


def _fastest(facts: Mapping[str, dict[str, Any]]) -> str:
    return min(facts, key=lambda name: float(facts[name]["seconds"]))


def _agreement(ours: Scores, theirs: Scores) -> dict[str, float]:
    """The largest difference of a score, beside how far scores are apart at all."""
    furthest, spread = np.abs(ours - theirs).max(), theirs.max() - theirs.min()
    return {"furthest_score": round(float(furthest), 5), "spread": round(float(spread), 5)}


def _check_whole(rows: list[Row]) -> None:
    """Refuse texts that a row has no room for."""
    if any(row.truncated for row in rows):
        raise InputError(f"the texts take more than the {POSITIONS} tokens of a row: ask for fewer")


def _table(found: Facts) -> Table:
    ratios = {
        ENCODE: found["ratio"],
        RERANK: found["ratio_rerank"],
        RERANK_SEEN: found["ratio_rerank_seen"],
    }
    return Table(
        f"{found['parameters'] / 1e6:,.0f} million parameters in {found['dtype']} on "
        f"{found['device']}; a large product reaches {found['peak_tflops']:.2f} TFLOP/s",
        ("", "seconds", "theirs over ours", "TFLOP/s", "utilisation"),
        [
            (
                name,
                f"{facts['seconds']:.3f}",
                f"{ratios[name]:.2f}" if name in ratios else "",
                f"{facts['tflops']:.2f}" if "tflops" in facts else "",
                f"{facts['utilisation']:.0%}" if "utilisation" in facts else "",
            )
            for name, facts in {**found["ours"], **found["others"]}.items()
        ],
        [f"{name}: not run, {reason}." for name, reason in found["not_run"].items()],
    )


BENCH = Bench(
    measure_decoder,
    _table,
    quick={
        "size": "tiny",
        "passages": 8,
        "tokens": 128,
        "queries": 1,
        "documents": 8,
        "document_tokens": 64,
    },
)
