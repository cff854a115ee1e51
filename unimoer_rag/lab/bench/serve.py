"""Our server against others on the same backbone, over HTTP, and against our engine without it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, Facts, RoundsOption
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.rivals import random_cross_encoder, sentence_library
from unimoer_rag.lab.bench.serve_clients import Request, ask_all, embed_requests, rerank_requests
from unimoer_rag.lab.bench.serve_processes import Server, infinity, side
from unimoer_rag.lab.bench.timing import OnRun, alternate, check_rounds, percentiles, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import UniMoER

__all__ = ["BENCH", "measure_serve"]

_PARTS = ("embed", "rerank")
# Texts of a request that embeds.
_TEXTS = 4
_SEEN = "ours, seen"

Requests = Callable[[str, int], list[Request]]
"""Makes requests for a model of this name, of texts drawn by this seed."""


def measure_serve(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    part: Annotated[
        list[str] | None,
        typer.Option("--part", help="embed or rerank; again for both, as without it."),
    ] = None,
    clients: Annotated[
        list[int] | None,
        typer.Option("--clients", help="How many there are; again for more (1, 8 and 64)."),
    ] = None,
    calls: Annotated[int, typer.Option(help="Requests of a run; at least one a client.")] = 16,
    depth: Annotated[int, typer.Option(help="Passages that a request reranks.")] = 50,
    rounds: RoundsOption = 5,
    infinity_env: Annotated[
        Path | None,
        typer.Option("--infinity", help="A virtual environment with infinity-emb, to compare."),
    ] = None,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Embed and rerank over HTTP, against other servers of the same backbone and our own engine.

    A request embeds 4 texts, or reranks passages; none was seen before, but in "ours, seen", where
    the server still has the passages' token states. Each server is a process of its own; the engine
    is asked by as many threads.

    Returns:
        See `report`. `ratios`, by part, of each side's seconds over those of our server with as
        many clients; `ratio` is that of `plain` in the first part with the most.

    Raises:
        MissingExtraError: sentence-transformers or FastAPI is not installed.
        InputError: there are too few rounds or clients, or no such part.
        UnimoerError: a server does not start, or answers with an error.
    """
    parts, clients = part or list(_PARTS), sorted(set(clients or [1, 8, 64]))
    check_rounds(rounds)
    if clients[0] < 1 or calls < 1 or depth < 1:
        raise InputError(f"clients {clients}, calls {calls}, depth {depth}: expected each from 1")
    if unknown := set(parts) - set(_PARTS):
        raise InputError(f"unknown part {min(unknown)!r}: expected {' or '.join(_PARTS)}")
    sentence_library("the serving benchmark")
    model = UniMoER.from_pretrained(checkpoint, device="cpu")
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as held:
        servers = _servers(held, model, checkpoint, infinity_env)
        engine = held.enter_context(Engine(model))
        for name in parts:
            sides, latencies = dict[str, Callable[[], None]](), dict[str, list[float]]()
            for n in clients:
                sent = max(calls, n)
                requests = partial(_requests, name, model.tokenizer, sent, depth)
                for side_, run in _sides(name, servers, engine, requests, n, latencies).items():
                    sides[f"{side_}/{n}"] = run

            def tell(what: str, at: int | None = None, /, name: str = name) -> None:
                on_run(f"{name} {what}", at)

            seconds = alternate(sides, rounds=rounds, on_run=tell)
            texts = _TEXTS if name == "embed" else depth
            found[name] = {
                "sides": {
                    key: _facts(key, taken, latencies.get(key), calls, texts)
                    for key, taken in seconds.medians().items()
                },
                "ratios": {key: seconds.ratio(key, f"ours/{key.split('/')[1]}") for key in sides},
                "seconds": seconds.rounded(),
            }
    return report(
        "serve",
        ratio=found[parts[0]]["ratios"][f"plain/{clients[-1]}"],
        checkpoint=checkpoint,
        calls=calls,
        depth=depth,
        rounds=rounds,
        ours={name: _of(one["sides"], ours=True) for name, one in found.items()},
        others={name: _of(one["sides"], ours=False) for name, one in found.items()},
        ratios={name: one["ratios"] for name, one in found.items()},
        seconds={name: one["seconds"] for name, one in found.items()},
    )


def _servers(
    held: ExitStack, model: UniMoER, checkpoint: str, env: Path | None
) -> dict[str, Server]:
    """The servers by name, which run until what is held is left."""
    name = Path(model.checkpoint).name
    folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
    pairs = random_cross_encoder(model.path, folder / "cross-encoder")
    rival = {"embedder": str(model.path), "cross_encoder": str(pairs)}
    limits = {f"{task}_tokens": model.task(task).max_tokens for task in _PARTS}
    servers = {
        "plain": held.enter_context(side("plain", name, **rival, **limits)),
        "ours": held.enter_context(side("ours", name, checkpoint=checkpoint)),
    }
    if env is not None:
        servers["infinity"] = held.enter_context(infinity(env, model.path, pairs))
    return servers


def _requests(
    part: str, tokenizer: object, n: int, depth: int, model: str, seed: int
) -> list[Request]:
    if part == "embed":
        return embed_requests(tokenizer, n, _TEXTS, model=model, seed=seed)
    return rerank_requests(tokenizer, n, depth, model=model, seed=seed)


def _sides(
    part: str,
    servers: dict[str, Server],
    engine: Engine,
    requests: Requests,
    clients: int,
    latencies: dict[str, list[float]],
) -> dict[str, Callable[[], None]]:
    """What is timed with so many clients; every run has texts of its own, the same for all."""
    sides: dict[str, Callable[[], None]] = {}
    for who, server in servers.items():
        kept = latencies.setdefault(f"{who}/{clients}", [])
        runs = _runs(requests, server.name_of(part), clients)
        sides[who] = partial(_ask, server, runs, clients, kept)
    ours = servers["ours"]
    if part == "rerank":
        kept = latencies.setdefault(f"{_SEEN}/{clients}", [])
        same = requests(ours.reranker, -1 - clients)
        sides[_SEEN] = partial(_ask, ours, iter(lambda: same, None), clients, kept)
    runs = _runs(requests, ours.name_of(part), clients)
    sides["engine"] = partial(_compute, engine, runs, clients)
    return sides


def _runs(requests: Requests, model: str, clients: int) -> Iterator[list[Request]]:
    """New requests for each run; those of other numbers of clients are others."""
    return (requests(model, seed) for seed in count(1000 * clients))


def _ask(
    server: Server, runs: Iterator[list[Request]], clients: int, latencies: list[float]
) -> None:
    latencies += ask_all(server.url, next(runs), clients)


def _compute(engine: Engine, runs: Iterator[list[Request]], clients: int) -> None:
    """The same without HTTP, by as many threads."""

    def one(request: Request) -> None:
        body = request[1]
        if "input" in body:
            engine.embed(body["input"])
        else:
            engine.rank(body["query"], body["documents"])

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, next(runs)))


def _facts(
    key: str, seconds: float, latencies: Sequence[float] | None, calls: int, texts: int
) -> dict[str, Any]:
    """What a side does in a second, and how long its requests take, without the warm-up's."""
    sent = max(calls, int(key.split("/")[1]))
    facts: dict[str, Any] = {"texts_a_second": round(sent * texts / seconds, 1)}
    if latencies:
        facts["latency_ms"] = percentiles(latencies[sent:])
    return facts


def _of(sides: dict[str, Any], *, ours: bool) -> dict[str, Any]:
    return {key: facts for key, facts in sides.items() if key.startswith("ours") is ours}


def _table(found: Facts) -> Table:
    rows = []
    for part, ratios in found["ratios"].items():
        sides = {**found["ours"][part], **found["others"][part]}
        for key, times in ratios.items():
            who, n = key.split("/")
            latency = sides[key].get("latency_ms")
            told = f"{latency['p50']:.0f} / {latency['p95']:.0f}" if latency else ""
            rows.append((part, n, who, f"{sides[key]['texts_a_second']:.0f}", told, f"{times:.2f}"))
    return Table(
        f"requests that embed {_TEXTS} texts, or rerank {found['depth']}",
        ("", "clients", "server", "texts a second", "p50 / p95, ms", "seconds over ours"),
        rows,
    )


BENCH = Bench(measure_serve, _table, quick={"clients": [1, 2], "calls": 1, "depth": 4})
