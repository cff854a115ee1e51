"""A decoder's resident weights as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.language_models.chat_models import (
    agenerate_from_stream,
    generate_from_stream,
)
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field, field_validator

from langchain_unimoer.base import SharesModel
from langchain_unimoer.messages import to_conversation
from langchain_unimoer.spellings import refuse_unknown
from langchain_unimoer.until import Until
from unimoer_rag.steps import Streamed, apart, astream, result, stream

if TYPE_CHECKING:
    from unimoer_rag.generation import ResidentLLM

__all__ = ["UniMoERChatModel"]

_OF_A_CALL = ("max_tokens", "temperature", "seed")


class UniMoERChatModel(SharesModel, BaseChatModel):
    """Chats with the decoder that embeds and reranks, its experts off: one copy of the weights.

    Replies asked for at the same time take turns, and other work of the model runs between their
    tokens. Equal prompts get equal replies. It reads text, and calls no tools.

    `max_tokens`, `temperature`, `seed` and `stop` may also be given for one call, or bound.

    Args:
        model: a checkpoint on a decoder, or a decoder's name or folder, such as "qwen3-0.6b".
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`; int8 and int4 write no text.
        max_tokens: of a reply.
        temperature: 0 for the most probable token at every step.
        seed: of the draws at a temperature above 0.
        stop: texts of which the first ends a reply, and is no part of it.
        template_options: variables of the chat template, by default `{"enable_thinking": False}`.
        streaming: have `invoke` stream, too, so that handlers of callbacks get its pieces.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had, or is no decoder.
        ValidationError: a setting is unknown or cannot be used (also a ValueError).
        InputError: of a call: a message that is no text, or a setting that cannot be used.
        GeneratorRefusedError: of a call: the messages do not fit into the model's context.

    >>> chat = UniMoERChatModel("qwen3-0.6b", max_tokens=100)          # doctest: +SKIP
    >>> chat.invoke("Say hello.").text                                 # doctest: +SKIP
    'Hello!'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(kw_only=False)
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    stop: list[str] | None = None
    template_options: Mapping[str, Any] | None = None
    streaming: bool | None = None

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, stop: list[str] | None) -> list[str] | None:
        Until(stop or [])
        return stop

    def model_post_init(self, context: Any) -> None:
        """Load the model, and refuse one that writes no text."""
        super().model_post_init(context)
        self._decoder({})

    def get_token_ids(self, text: str) -> list[int]:
        """A text's tokens by the model's own tokenizer, by which `trim_messages` counts."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        tokens = self.unimoer.tokenizer(text, add_special_tokens=False, verbose=False)
        return list(tokens["input_ids"])

    @property
    def _llm_type(self) -> str:
        return "unimoer"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "revision": self.revision,
            "dtype": self.dtype,
            "stop": self.stop,
            "template_options": self.template_options,
            **{name: getattr(self, name) for name in _OF_A_CALL},
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """What a trace says of the model."""
        told = LangSmithParams(
            ls_provider="unimoer",
            ls_model_name=kwargs.get("model", self.model),
            ls_model_type="chat",
            ls_temperature=kwargs.get("temperature", self.temperature),
            ls_max_tokens=kwargs.get("max_tokens", self.max_tokens),
        )
        if ends := self.stop if stop is None else stop:
            told["ls_stop"] = ends
        return told

    # -- a reply ----------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **settings: Any,
    ) -> ChatResult:
        return generate_from_stream(stream(self._chunks(messages, stop, settings)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **settings: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(astream(self._chunks(messages, stop, settings)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **settings: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return stream(self._chunks(messages, stop, settings))

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **settings: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        return astream(self._chunks(messages, stop, settings))

    def _chunks(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, settings: Mapping[str, Any]
    ) -> Streamed[ChatGenerationChunk]:
        until = Until((self.stop if stop is None else stop) or [])
        decoder, asked = self._decoder(settings), to_conversation(messages)
        # Tokenising a long conversation takes a while too.
        with closing((yield from apart(decoder.begin, asked))) as reply:
            while not until.found and (piece := (yield from result(reply.more()))) is not None:
                if said := until.take(piece):
                    yield _chunk(said)
        if rest := until.end():
            yield _chunk(rest)
        ended = reply.complete or until.found
        n_asked, n_written = reply.n_asked, len(reply.ids)
        yield _chunk(
            "",
            usage_metadata=UsageMetadata(
                input_tokens=n_asked, output_tokens=n_written, total_tokens=n_asked + n_written
            ),
            response_metadata={
                "finish_reason": "stop" if ended else "length",
                "model_name": self.model,
                "model_provider": "unimoer",
            },
            chunk_position="last",
        )

    def _decoder(self, settings: Mapping[str, Any]) -> ResidentLLM:
        """The language model with the settings of a call; all of them share the weights."""
        from unimoer_rag.generation import ResidentLLM

        refuse_unknown(settings, _OF_A_CALL, of="a call of this chat model")
        own = {name: getattr(self, name) for name in _OF_A_CALL}
        given = {name: value for name, value in settings.items() if value is not None}
        return ResidentLLM(self._engine, template_options=self.template_options, **own | given)


def _chunk(text: str, **told: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text, **told))
