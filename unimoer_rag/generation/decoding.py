"""The token loop: a language model of transformers writes, a turn on its device at a time."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor

from unimoer_rag.engine import Worker
from unimoer_rag.errors import GenerationError, InputError
from unimoer_rag.generation.conversation import Conversation, FirstLine, template_variables
from unimoer_rag.model import cache_name

__all__ = ["Decoder", "Decoding", "Device", "OwnThread"]

T = TypeVar("T")

# How long one turn lasts, in seconds: others that wait for the device barely notice it, and under
# load a reply still gets several of its tokens a turn.
_TURN = 0.05
# Tokens of a prompt in one forward, so that a long one does not hold the device for long.
_CHUNK = 1024


class Device(Protocol):
    """Whoever owns the device the model is on."""

    def __call__(self, function: Callable[[], T], /) -> Future[T]:
        """Run a function in the device's one thread."""


class OwnThread:
    """The device of a model that has no engine; it ends with the last reply under way."""

    def __init__(self) -> None:
        self._worker = Worker(token_budget=1)
        weakref.finalize(self, self._worker.abandon).atexit = False  # the worker has its own

    def __call__(self, function: Callable[[], T], /) -> Future[T]:
        """See `Device`."""
        return self._worker.call(function)


class Decoder:
    """Writes with a causal language model and its tokenizer.

    Replies under way at the same time take turns; each holds the keys and values of its own tokens
    and nothing else.

    Args:
        model: a causal language model of transformers, in eval mode.
        tokenizer: its fast tokenizer.
        device: runs the turns.
        name: the model's, for messages.
        max_tokens: of a reply.
        temperature: 0 for the most probable token at every step; 1 to draw by probability.
        seed: of the draws: equal prompts get equal replies.
        template_options: variables of the chat template; `TEMPLATE_OPTIONS` when None.

    Raises:
        InputError: an argument has a value that cannot be used.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        device: Device,
        name: str,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        template_options: Mapping[str, Any] | None = None,
    ) -> None:
        if max_tokens < 1:
            raise InputError(f"max_tokens is {max_tokens}: expected 1 or more")
        if not temperature >= 0:
            raise InputError(f"temperature is {temperature}: expected 0 or more")
        if not 0 <= seed < 2**64:
            raise InputError(f"seed is {seed}: expected 0 or more, of 64 bits")
        self.model, self.tokenizer, self.device, self.name = model, tokenizer, device, name
        self.max_tokens, self.temperature, self.seed = max_tokens, temperature, seed
        self.options = template_variables(template_options)
        self.context = int(model.config.max_position_embeddings)
        self.ends = _ends(model, tokenizer)
        self.cache_name = cache_name(model)

    def begin(self, messages: list[dict[str, str]], *, max_tokens: int | None = None) -> Decoding:
        """See `LanguageModel.begin`; `max_tokens`: of this reply, if fewer."""
        return Decoding(self, self.conversation(messages), max_tokens=max_tokens)

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> Conversation:
        """Messages as the model's tokens.

        Raises:
            GeneratorRefusedError: the template refuses them, or they fill the model's context.
        """
        return Conversation.of(
            messages,
            self.tokenizer,
            options=self.options,
            name=self.name,
            context=self.context,
        )


class Decoding:
    """One reply under way; see `Reply`.

    Args:
        decoder: what writes it.
        conversation: what it replies to.
        max_tokens: of it, where that is fewer than the decoder's.

    Attributes:
        ids: the tokens of the reply so far, the one that ends it left out.
        complete: it ended by itself.
        n_asked: tokens of the conversation.
    """

    def __init__(
        self, decoder: Decoder, conversation: Conversation, *, max_tokens: int | None = None
    ) -> None:
        self._decoder = decoder
        self.ids: list[int] = []
        self.complete = self._ended = False
        self._unread = conversation.ids
        self.n_asked = len(conversation.ids)
        most = decoder.max_tokens if max_tokens is None else min(decoder.max_tokens, max_tokens)
        self._limit = min(most, decoder.context - len(conversation.ids))
        self._cache: Any = None
        self._text = DecodeStream(skip_special_tokens=True)
        self._line = FirstLine() if conversation.first_line else None
        # On the CPU whatever the device, so that draws do not depend on it.
        self._random = torch.Generator().manual_seed(decoder.seed)

    def more(self) -> Future[str | None]:
        """The text of the next turn; None at the end."""
        return self._decoder.device(self._turn)

    def close(self) -> None:
        """End it within a token."""
        self._ended = True

    # -- in the device's thread -------------------------------------------------------------

    def _turn(self) -> str | None:
        if self._ended:
            return None
        try:
            return self._write()
        except RuntimeError as error:  # torch's, such as too little memory
            self._ended = True
            raise GenerationError(
                f"{self._decoder.name} failed after {len(self.ids)} tokens of its reply "
                f"({type(error).__name__}: {error}): free memory on its device, or have fewer or "
                "shorter passages read"
            ) from error

    @torch.inference_mode()
    def _write(self) -> str:
        until = time.monotonic() + _TURN
        text = ""
        while not self._ended:
            logits = self._forward()
            if not self._unread:
                text += self._take(self._choose(logits))
            if time.monotonic() >= until:
                break
        return text

    def _forward(self) -> Tensor:
        """Read on; the logits of what follows, `[vocabulary]`."""
        model = self._decoder.model
        chunk, self._unread = self._unread[:_CHUNK], self._unread[_CHUNK:]
        output = model(
            input_ids=torch.tensor([chunk], device=model.device),
            use_cache=True,
            logits_to_keep=1,
            **{self._decoder.cache_name: self._cache},
        )
        self._cache = getattr(output, self._decoder.cache_name)
        logits: Tensor = output.logits[0, -1]
        return logits

    def _choose(self, logits: Tensor) -> int:
        temperature = self._decoder.temperature
        if temperature == 0:
            return int(logits.argmax())
        probabilities = torch.softmax(logits.float().cpu() / temperature, dim=-1)
        return int(torch.multinomial(probabilities, 1, generator=self._random))

    def _take(self, token: int) -> str:
        """Write a token; its text, once the token ends a character."""
        if token in self._decoder.ends:
            self.complete = self._ended = True
            return ""
        self.ids.append(token)
        self._unread = [token]
        text = self._text.step(self._decoder.tokenizer.backend_tokenizer, token) or ""
        if self._line is not None:
            text = self._line.take(text)
            self.complete = self._line.ended
        self._ended = self._ended or self.complete or len(self.ids) >= self._limit
        return text


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a reply."""
    named = model.generation_config.eos_token_id
    several = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*several, tokenizer.eos_token_id) if token is not None)
