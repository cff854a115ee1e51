"""A language model in this process for LlamaIndex: also the one that embeds and reranks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    TextBlock,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.steps import Streamed, apart, astream, result, stream

if TYPE_CHECKING:
    from unimoer_rag.generation import LanguageModel
    from unimoer_rag.model import UniMoER

__all__ = ["UniMoERLLM"]

# What chat templates call them.
_ROLES = {
    MessageRole.DEVELOPER: "system",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
}


class UniMoERLLM(CustomLLM):
    """Writes with a decoder in this process, by its chat template, blocking, awaited and streamed.

    By a name it is the one live model of that name, which `UniMoEREmbedding`, `UniMoERRerank` and
    `UnifiedRetriever` hold: one copy of the weights embeds, reranks and writes. Many replies at a
    time take turns on the device with each other and with other work. Thoughts that a reply begins
    with are no part of its text.

    Args:
        model: a decoder's or its checkpoint's name or folder; or a `ResidentLLM`, `LocalLLM` or
            `VllmEngine`, which is asked as it is.
        max_tokens: of a reply; None for the model's own.
        temperature: 0 for the most probable token at every step; None for the model's own.
        seed: of the draws at a temperature above 0; None for the model's own.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        base: system_prompt, callback_manager and whatever else LlamaIndex's `LLM` takes.

    Raises:
        BackboneError: the model is an encoder, or cannot be had.
        InputError: an argument has a value that cannot be used, or is the model's own.

    >>> llm = UniMoERLLM("qwen3-0.6b")                                 # doctest: +SKIP
    >>> Settings.llm, Settings.embed_model = llm, UniMoEREmbedding("qwen3-0.6b")  # doctest: +SKIP
    """

    model: str = Field(frozen=True, description="The model's name.")
    max_tokens: int = Field(frozen=True, description="Most tokens of a reply.")
    context_window: int = Field(
        frozen=True, exclude=True, description="Tokens of prompt and reply together."
    )

    _language_model: LanguageModel = PrivateAttr()

    def __init__(
        self,
        model: str | LanguageModel,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        **base: Any,
    ) -> None:
        settings = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        given = {name: value for name, value in settings.items() if value is not None}
        if isinstance(model, str):
            model = _resident(model, revision, device, dtype, given)
        elif given:
            raise InputError(
                f"{next(iter(given))} is a setting of the {type(model).__name__} that was given: "
                "set it there"
            )
        elif not callable(getattr(model, "begin", None)):
            raise InputError(
                f"model is a {type(model).__name__}: expected a model's name, or a ResidentLLM, "
                "LocalLLM or VllmEngine"
            )
        told: dict[str, Any] = {
            "model": model.name,
            "max_tokens": getattr(model, "max_tokens", None) or LLMMetadata().num_output,
            "context_window": getattr(model, "context", None) or LLMMetadata().context_window,
        }
        super().__init__(**told, **base)
        self._language_model = model

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise UnimoerError(
            "a UniMoERLLM holds a live model and cannot be pickled: make it in the other process"
        )

    def __deepcopy__(self, memo: Any = None) -> UniMoERLLM:
        return self  # it does not change, and its weights are shared by all who ask for them

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised objects."""
        return "UniMoERLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex asks of a language model."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.max_tokens,
            is_chat_model=True,
            model_name=self.model,
        )

    @property
    def unimoer(self) -> UniMoER:
        """The live model, which everything that names the same checkpoint holds.

        Raises:
            InputError: it writes by another one, which does nothing else.
        """
        engine = getattr(self._language_model, "engine", None)
        model: UniMoER | None = getattr(engine, "model", None)
        if model is None:
            raise InputError(
                f"{self.model} is a language model alone: it neither embeds nor reranks"
            )
        return model

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The reply to a conversation.

        Raises:
            GeneratorRefusedError: the conversation fills the context, or the template refuses it.
            GenerationError: the model failed.
            InputError: a message holds something else than text, or another argument is given.
        """
        return _chat(_last(stream(self._written(messages, kwargs))))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """`chat` without blocking the event loop; cancelling it stops the model."""
        return _chat(await _alast(astream(self._written(messages, kwargs))))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """`chat` in pieces, the last of them empty; what nobody asks for is not written."""
        return _chats(stream(self._written(messages, kwargs)))

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """`stream_chat` without blocking the event loop."""
        return _achats(astream(self._written(messages, kwargs)))

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The reply to a prompt, which the model is told as a user's message; see `chat`."""
        return _last(stream(self._written(self._asked(prompt, formatted), kwargs)))

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """`complete` without blocking the event loop; cancelling it stops the model."""
        return await _alast(astream(self._written(self._asked(prompt, formatted), kwargs)))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """`complete` in pieces, the last of them empty; what nobody asks for is not written."""
        return stream(self._written(self._asked(prompt, formatted), kwargs))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """`stream_complete` without blocking the event loop."""
        return astream(self._written(self._asked(prompt, formatted), kwargs))

    def _asked(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        return [ChatMessage(role=MessageRole.USER, content=prompt)]

    def _written(
        self, messages: Sequence[ChatMessage], unknown: dict[str, Any]
    ) -> Streamed[CompletionResponse]:
        """The reply as it comes; the last piece is empty and says how it ended."""
        from unimoer_rag.generation.spoken import ReplyWords

        if unknown:
            raise InputError(
                f"UniMoERLLM takes no {next(iter(unknown))!r} for one reply: max_tokens, "
                "temperature and seed are set when it is made"
            )
        words, text = ReplyWords(), ""
        asked = [_plain(message) for message in messages]
        # Tokenising a long prompt takes a while too.
        with closing((yield from apart(self._language_model.begin, asked))) as reply:
            while (piece := (yield from result(reply.more()))) is not None:
                if said := words.take(piece):
                    text += said
                    yield CompletionResponse(text=text, delta=said)
        if said := words.end():
            text += said
            yield CompletionResponse(text=text, delta=said)
        ended = {"model": self.model, "finish_reason": "stop" if reply.complete else "length"}
        yield CompletionResponse(text=text, delta="", raw=ended)


def _resident(
    name: str, revision: str | None, device: str, dtype: str, settings: dict[str, Any]
) -> LanguageModel:
    # Here, since they import torch, which importing the adapter must not.
    from unimoer_rag.engine import SharedModel
    from unimoer_rag.generation import ResidentLLM

    shared = SharedModel(name, revision=revision, device=device, dtype=dtype)
    return ResidentLLM(shared.engine, **settings)


def _plain(message: ChatMessage) -> dict[str, str]:
    """A message as chat templates take it."""
    other = next((block for block in message.blocks if not isinstance(block, TextBlock)), None)
    if other is not None:
        raise InputError(
            f"a message holds a {type(other).__name__}: the model reads text, give TextBlocks"
        )
    role = _ROLES.get(message.role, message.role.value)
    return {"role": role, "content": message.content or ""}


def _last(replies: Iterable[CompletionResponse]) -> CompletionResponse:
    *_, whole = replies
    return whole.model_copy(update={"delta": None})


async def _alast(replies: AsyncIterable[CompletionResponse]) -> CompletionResponse:
    return _last([reply async for reply in replies])


def _chat(reply: CompletionResponse) -> ChatResponse:
    message = ChatMessage(role=MessageRole.ASSISTANT, content=reply.text)
    return ChatResponse(message=message, delta=reply.delta, raw=reply.raw)


def _chats(replies: Generator[CompletionResponse, None, None]) -> ChatResponseGen:
    with closing(replies):
        for reply in replies:
            yield _chat(reply)


async def _achats(replies: AsyncGenerator[CompletionResponse, None]) -> ChatResponseAsyncGen:
    async with aclosing(replies):
        async for reply in replies:
            yield _chat(reply)
