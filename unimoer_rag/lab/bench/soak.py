"""A server under more clients than it likes, many of whom leave: are its answers right?"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any

import httpx
import numpy as np
import typer

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.process import own
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.serve_clients import (
    Request,
    ask_all,
    connected,
    embed_requests,
    numbers,
    overload,
    rerank_requests,
)
from unimoer_rag.lab.bench.serve_processes import Server, side
from unimoer_rag.lab.bench.timing import OnRun, percentiles, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import UniMoER

__all__ = ["BENCH", "measure_soak"]

# Requests of each kind that clients draw from, and their texts.
_DRAWN, _TEXTS, _DEPTH = 24, 4, 8
# How soon a request is given up at most, in seconds; and how long none may wait.
_GIVEN_UP, _STUCK = 0.2, 60.0
# Requests in the same moment, many more than are worked on at once.
_BURST = 512
# How far a number may be off for what shared its batch, in float32.
_CLOSE = 2e-4


@dataclass(slots=True)
class _Found:
    """What came of the clients.

    Attributes:
        answered: seconds of each answer of status 200.
        wrong: those of them that are not the expected ones.
        given_up: requests that their client left.
        refused: answers of other statuses, by status.
        memory: bytes of the server that no file holds too, sampled meanwhile.
    """

    answered: list[float] = field(default_factory=list)
    wrong: int = 0
    given_up: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)


def measure_soak(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    clients: Annotated[int, typer.Option(help="How many there are.")] = 64,
    seconds: Annotated[float, typer.Option(help="How long they begin requests.")] = 60.0,
    warm_up: Annotated[float, typer.Option(help="How long they do so before, unmeasured.")] = 15.0,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Embed and rerank by many clients over HTTP, a third of whose requests is left, and check.

    Every answer is compared with that of the model alone, in float32, in which an answer does not
    depend on what shares its batch. Then a burst comes of more requests than are worked on at once.

    Returns:
        See `report`; `ratio` is the server's memory at the end over that after a quarter of the
        time.

    Raises:
        MissingExtraError: FastAPI is not installed.
        InputError: there are no clients, or no time.
        UnimoerError: the server does not start, or a client is not answered within a minute.
    """
    if clients < 1 or seconds <= 0:
        raise InputError(f"clients, seconds are {clients}, {seconds:g}: expected some of both")
    model = UniMoER.from_pretrained(checkpoint, device="cpu", dtype="float32")
    name = Path(model.checkpoint).name
    embed = embed_requests(model.tokenizer, _DRAWN, _TEXTS, model=name)
    rerank = rerank_requests(model.tokenizer, _DRAWN, _DEPTH, model=name)
    requests = [*embed, *rerank]
    expected = [_expected(model, body) for _, body in requests]

    def right(at: int, answer: Any) -> bool:
        return bool(np.allclose(numbers(answer), expected[at], atol=_CLOSE))

    with side("ours", name, checkpoint=checkpoint, dtype="float32") as server:
        on_run(f"{warm_up:g} s to warm up, {seconds:g} s of {clients} clients")
        asyncio.run(_soak(server, requests, right, clients, warm_up, "warm-up"))
        found = asyncio.run(_soak(server, requests, right, clients, seconds, "soak"))
        burst = overload(server.url, embed[0], _BURST)
        last = ask_all(server.url, embed[:1], 1)
    memory = found.memory
    return report(
        "soak",
        ratio=round(memory[-1] / memory[len(memory) // 4], 4),
        checkpoint=checkpoint,
        clients=clients,
        wrong=found.wrong,
        given_up=found.given_up,
        refused=dict(found.refused),
        burst=dict(burst),
        ours={
            "seconds": seconds,
            "answered": len(found.answered),
            "latency_ms": percentiles(found.answered) if found.answered else {},
            "own_bytes_quarters": [memory[at * (len(memory) - 1) // 4] for at in range(5)],
            "last_answer_ms": round(1000 * last[0], 1),
        },
        others={},
    )


async def _soak(
    server: Server,
    requests: Sequence[Request],
    right: Callable[[int, Any], bool],
    clients: int,
    seconds: float,
    seed: str,
) -> _Found:
    found, deadline = _Found(), time.perf_counter() + seconds

    async def client(http: httpx.AsyncClient, choice: Random) -> None:
        while time.perf_counter() < deadline:
            at = choice.randrange(len(requests))
            leaves = choice.random() < 1 / 3
            since = time.perf_counter()
            try:
                async with asyncio.timeout(choice.uniform(0, _GIVEN_UP) if leaves else _STUCK):
                    answer = await http.post(requests[at][0], json=requests[at][1])
            except TimeoutError:
                if not leaves:
                    raise UnimoerError(f"no answer within {_STUCK:g} s: it is stuck") from None
                found.given_up += 1
                continue
            if answer.status_code == 200:
                found.answered.append(time.perf_counter() - since)
                found.wrong += not right(at, answer.json())
            else:
                found.refused[str(answer.status_code)] += 1
                await asyncio.sleep(float(answer.headers.get("Retry-After", 0)))

    async def watch() -> None:
        while not found.memory or time.perf_counter() < deadline:
            found.memory.append(own(server.pid))
            await asyncio.sleep(0.2)

    async with connected(server.url) as http:
        asking = (client(http, Random(f"{seed}/{at}")) for at in range(clients))
        await asyncio.gather(watch(), *asking)
    return found


def _expected(model: UniMoER, body: dict[str, Any]) -> Any:
    """What a request is to be answered."""
    if "input" in body:
        return model.embed(body["input"])
    return model.rank(body["query"], body["documents"])


def _table(found: Facts) -> Table:
    ours = found["ours"]
    latency = ", ".join(f"{name} {ms:.0f} ms" for name, ms in ours["latency_ms"].items())
    memory = " ".join(f"{size / 2**20:.0f}" for size in ours["own_bytes_quarters"])
    return Table(
        f"{found['clients']} clients for {ours['seconds']:g} s",
        ("", "found"),
        [
            ("requests answered", f"{ours['answered']:,}"),
            ("wrong answers", str(found["wrong"])),
            ("given up by their client", f"{found['given_up']:,}"),
            ("answered by another status", str(found["refused"] or "none")),
            ("latency", latency),
            ("server, MiB over time", f"{memory} ({found['ratio'] - 1:+.1%})"),
            (f"{_BURST} requests at once", str(found["burst"])),
        ],
    )


BENCH = Bench(
    measure_soak,
    _table,
    quick={"clients": 8, "seconds": 3.0, "warm_up": 1.0},
    failed=lambda found: bool(found["wrong"]),
)
