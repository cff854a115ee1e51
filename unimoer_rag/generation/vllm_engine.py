"""Generation by vLLM's engine in this process, without a server."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
import weakref
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from unimoer_rag.errors import (
    GenerationError,
    GeneratorRefusedError,
    GeneratorUnavailableError,
    InputError,
)
from unimoer_rag.extras import needs_extra
from unimoer_rag.generation.conversation import Conversation, FirstLine, template_variables
from unimoer_rag.generation.writer import Reply

__all__ = ["VllmEngine"]

T = TypeVar("T")


class VllmEngine:
    """A language model that vLLM's engine runs for this process alone.

    Replies asked for at the same time run together, in vLLM's batches. Its core is a process of its
    own, started by "spawn", so a script makes its engine under `if __name__ == "__main__":`.

    Args:
        model: a folder, a repository of the Hub with its `revision`, or a known decoder
            ("qwen3-0.6b").
        revision: the commit of the repository.
        max_tokens: of a reply.
        temperature: 0 for the most probable token at every step.
        seed: of the draws at a temperature above 0.
        template_options: variables of the chat template, by default `{"enable_thinking": False}`.
        sampling: anything else of vLLM's `SamplingParams`, such as `{"top_p": 0.9}`.
        engine: of vLLM's `AsyncEngineArgs`, such as `{"gpu_memory_utilization": 0.4}`, which leaves
            memory to the model that retrieves.

    Raises:
        MissingExtraError: vLLM is not installed.
        BackboneError: there is no such model.
        InputError: an argument or option has a value that cannot be used.
        GeneratorUnavailableError: vLLM cannot run the model here.

    >>> generator = Writer(VllmEngine("./Qwen3-0.6B"))   # doctest: +SKIP
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        template_options: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        with needs_extra("vllm", "vllm", "generation by vLLM in process"):
            from vllm import SamplingParams
            from vllm.sampling_params import RequestOutputKind
        from transformers import AutoTokenizer

        from unimoer_rag.model import LOCAL, read_config, resolve_backbone

        self._options = template_variables(template_options)
        self.name = model
        path = resolve_backbone(f"{model}@{revision}" if revision else model)
        read_config(path)
        try:
            self._sampling = SamplingParams(
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                output_kind=RequestOutputKind.DELTA,
                **(sampling or {}),
            )
        except Exception as error:  # TypeError, ValueError or vLLM's own, by its version
            raise InputError(f"vLLM refuses the sampling parameters: {error}") from error
        self._tokenizer = AutoTokenizer.from_pretrained(str(path), **LOCAL)
        self._loop = _Loop()
        try:
            self._engine = self._loop.run(_start(str(path), engine or {})).result()
        except BaseException:
            self._loop.stop()
            raise
        # Also runs at the interpreter's exit.
        self._end = weakref.finalize(self, _shut_down, self._engine, self._loop)

    def begin(self, messages: list[dict[str, str]]) -> Reply:
        """See `LanguageModel.begin`."""
        conversation = Conversation.of(
            messages,
            self._tokenizer,
            options=self._options,
            name=self.name,
            context=self._engine.model_config.max_model_len,
        )
        return _VllmReply(self, conversation)

    def close(self) -> None:
        """Stop the engine and give its memory back; closing twice is harmless."""
        self._end()


class _VllmReply:
    """One reply under way; see `Reply`. A task of the engine's loop takes in what comes."""

    def __init__(self, model: VllmEngine, conversation: Conversation) -> None:
        self._model = model
        self._ids = conversation.ids
        self._line = FirstLine() if conversation.first_line else None
        self._pieces: asyncio.Queue[str | GenerationError | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._n = 0
        self.complete = False

    def more(self) -> Future[str | None]:
        """The text that comes next; None at the end."""
        return self._model._loop.run(self._next())

    def close(self) -> None:
        """Have the engine drop it."""
        self._model._loop.soon(self._cancel)

    # -- in the loop's thread ---------------------------------------------------------------

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()  # which vLLM takes as an abort

    async def _next(self) -> str | None:
        if self._task is None:
            self._task = asyncio.create_task(self._write())
        piece = await self._pieces.get()
        if isinstance(piece, GenerationError):
            raise piece
        return piece

    async def _write(self) -> None:
        from vllm.inputs import tokens_input

        model = self._model
        replies = model._engine.generate(tokens_input(self._ids), model._sampling, uuid.uuid4().hex)
        try:
            async for output in replies:
                said = output.outputs[0]
                self.complete = said.finish_reason == "stop"
                self._put(said.text)
                if self._line is not None and self._line.ended:
                    await replies.aclose()
                    break
        except Exception as error:  # noqa: BLE001 - vLLM's errors have many kinds and no stable names
            self._pieces.put_nowait(self._failure(error))
        else:
            self._pieces.put_nowait(None)

    def _put(self, text: str) -> None:
        if self._line is not None:
            text = self._line.take(text)
            self.complete = self.complete or self._line.ended
        self._n += len(text)
        self._pieces.put_nowait(text)

    def _failure(self, error: Exception) -> GenerationError:
        from vllm.exceptions import VLLMClientError

        name, said = self._model.name, f"{type(error).__name__}: {error}"
        if isinstance(error, VLLMClientError):
            return GeneratorRefusedError(f"vLLM refuses what {name} was asked: {error}")
        if self._n:
            return GenerationError(f"vLLM broke off after {self._n} characters of {name} ({said})")
        if self._model._engine.errored:
            return GeneratorUnavailableError(
                f"vLLM's engine for {name} has died ({said}): its log says why; make a new one"
            )
        return GenerationError(f"vLLM failed to answer with {name} ({said})")


class _Loop:
    """An event loop in a thread of its own, which vLLM's client lives in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine there.

        Raises:
            GeneratorUnavailableError: the loop has ended.
        """
        if self._loop.is_closed():
            work.close()
            raise GeneratorUnavailableError("this VllmEngine is closed: make a new one")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def soon(self, function: Any) -> None:
        """Call a function there, unless the loop has ended."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """End it, with what still runs."""

        async def cancel_all() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _start(path: str, options: Mapping[str, Any]) -> Any:
    """vLLM's client; made inside its loop, which its tasks then belong to."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    # A process with torch's threads, and maybe CUDA, in use does not survive a fork.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    settings = {"load_format": "safetensors", "disable_log_stats": True, **options}
    try:
        arguments = AsyncEngineArgs(model=path, **settings)
    except TypeError as error:
        raise InputError(f"vLLM's engine has no such option: {error}") from error
    try:
        return AsyncLLM.from_engine_args(arguments)
    except Exception as error:  # of many kinds, from bad values to too little memory
        raise GeneratorUnavailableError(
            f"vLLM cannot run the model in {path} ({type(error).__name__}: {error}): see its log, "
            "and compare the engine's options with the memory there is"
        ) from error


def _shut_down(engine: Any, loop: _Loop) -> None:
    engine.shutdown()
    loop.stop()
