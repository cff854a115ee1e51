"""What `VllmEngine` does with the real vLLM, as JSON: run by the Python that has vLLM.

python in_process.py MODEL HANDBOOK FOLDER > results.json
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from vllm import SamplingParams

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.errors import GenerationError, UnimoerError
from unimoer_rag.generation.types import Generation, Piece
from unimoer_rag.generation.vllm_engine import VllmEngine
from unimoer_rag.generation.writer import Writer
from unimoer_rag.retrieval.types import Hit, Passage

QUESTION = "How long do refunds take?"
HITS = [Hit(Passage("Refunds take 14 days.", "refunds.md", "Refunds", 10, 31), rerank=0.9)]
ENGINE = {"dtype": "bfloat16", "enforce_eager": True}


def main(model: str, handbook: str, folder: str) -> dict[str, Any]:
    results: dict[str, Any] = {"refused options": refused_options(model)}
    retriever = UnifiedRetriever("unimoer-minilm", index=Path(folder) / "index", device="cpu")
    retriever.add_path(handbook)
    before = retriever.engine.embed(["a text"])
    llm = VllmEngine(model, max_tokens=12, engine=ENGINE)
    writer = Writer(llm)
    results["doors"] = asyncio.run(doors(writer))
    results["together"] = asyncio.run(together(writer))
    results["first line"] = first_line(llm)
    answer = RagPipeline(retriever, generator=writer).answer(QUESTION)
    sources = sorted({hit.source for hit in answer.hits})
    results["pipeline"] = [answer.text, answer.complete, sources]
    results["embedding"] = bool(np.array_equal(retriever.engine.embed(["a text"]), before))
    retriever.close()
    results["too long"] = failure(lambda: writer.generate("x" * 9000, HITS))
    llm._sampling.max_tokens = 8000  # a minute's work
    results["closed"] = closed(writer)
    results["aclosed"] = asyncio.run(aclosed(writer))
    results["cancelled"] = asyncio.run(cancelled(writer))
    results["refused"] = refused(llm)
    results["death"] = death(writer)
    llm.close()
    llm.close()
    results["after close"] = failure(lambda: writer.generate(QUESTION, HITS))
    return results


def refused_options(model: str) -> list[list[str]]:
    return [
        failure(lambda: VllmEngine(model, sampling={"nonsense": 1})),
        failure(lambda: VllmEngine(model, temperature=-1)),
        failure(lambda: VllmEngine(model, engine={"nonsense": 1})),
        failure(lambda: VllmEngine(model, engine={"max_model_len": 10**9})),
        failure(lambda: VllmEngine("nowhere")),
        failure(lambda: VllmEngine("owner/name")),
    ]


def failure(function: Callable[[], Any]) -> list[str]:
    """The class and message of the error that a call raises."""
    try:
        function()
    except UnimoerError as error:
        return [type(error).__name__, str(error)]
    return ["none", ""]


def plain(piece: Piece) -> Any:
    return asdict(piece) if isinstance(piece, Generation) else piece


async def doors(writer: Writer) -> list[Any]:
    """The same answer through all four."""
    return [
        [plain(writer.generate(QUESTION, HITS))],
        [plain(await writer.agenerate(QUESTION, HITS))],
        [plain(piece) for piece in writer.stream(QUESTION, HITS)],
        [plain(piece) async for piece in writer.astream(QUESTION, HITS)],
    ]


async def together(writer: Writer) -> list[list[str | None]]:
    """The texts of many answers, asked for one by one and at once."""
    questions = [f"{QUESTION} {n}" for n in range(16)]
    alone = [(await writer.agenerate(question, HITS)).text for question in questions]
    at_once = await asyncio.gather(*(writer.agenerate(q, HITS) for q in questions))
    return [alone, [one.text for one in at_once]]


def first_line(llm: VllmEngine) -> list[Any]:
    """Of a model without a chat template, which ends lines now and then."""
    template, usual = llm._tokenizer.chat_template, llm._sampling
    [newline] = llm._tokenizer.encode("\n")
    llm._tokenizer.chat_template = None
    llm._sampling = SamplingParams(
        **{"temperature": 2.0, "seed": 0, "max_tokens": 5000, "logit_bias": {newline: 14.0}},
        output_kind=usual.output_kind,
    )
    found = Writer(llm).generate(QUESTION, HITS)
    llm._tokenizer.chat_template, llm._sampling = template, usual
    return [found.text, found.complete]


def refused(llm: VllmEngine) -> list[str]:
    """What vLLM itself refuses, request by request."""
    usual, llm._sampling = llm._sampling, llm._sampling.clone()
    llm._sampling.temperature = 100.0
    error = failure(lambda: Writer(llm).generate(QUESTION, HITS))
    llm._sampling = usual
    return error


def in_flight(writer: Writer) -> int:
    return int(writer.model._engine.get_num_unfinished_requests())


def becomes_idle(writer: Writer) -> bool:
    deadline = time.monotonic() + 10
    while in_flight(writer) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not in_flight(writer)


def closed(writer: Writer) -> list[Any]:
    stream = writer.stream(QUESTION, HITS)
    first = next(stream)
    running = in_flight(writer)
    stream.close()
    return [first, running, becomes_idle(writer)]


async def aclosed(writer: Writer) -> list[Any]:
    stream = writer.astream(QUESTION, HITS)
    first = await anext(stream)
    running = in_flight(writer)
    await stream.aclose()
    return [first, running, await asyncio.to_thread(becomes_idle, writer)]


async def cancelled(writer: Writer) -> list[Any]:
    task = asyncio.create_task(writer.agenerate(QUESTION, HITS))
    while not in_flight(writer):
        await asyncio.sleep(0.01)
    task.cancel()
    done = await asyncio.gather(task, return_exceptions=True)
    return [type(done[0]).__name__, 1, await asyncio.to_thread(becomes_idle, writer)]


def death(writer: Writer) -> list[Any]:
    """What a stream and later calls say when the engine's process is killed."""
    stream = writer.stream(QUESTION, HITS)
    first = next(stream)
    for child in psutil.Process().children():
        if "EngineCore" in " ".join(child.cmdline()):
            child.kill()
    try:
        list(stream)
        broken = ["none", ""]
    except GenerationError as error:
        broken = [type(error).__name__, str(error)]
    return [first, broken, failure(lambda: writer.generate(QUESTION, HITS))]


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
