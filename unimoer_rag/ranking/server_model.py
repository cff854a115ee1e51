"""A server with OpenAI's chat interface, as a ranking model: words, log-probabilities if told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from unimoer_rag.errors import GeneratorRefusedError, InputError
from unimoer_rag.generation import ChatServer
from unimoer_rag.generation.chat_wire import Reply
from unimoer_rag.ranking.asking import Answer, Choose, Continue, Request
from unimoer_rag.ranking.method import at_least
from unimoer_rag.ranking.replies import is_label, named_label
from unimoer_rag.steps import run

__all__ = ["ServerModel"]

_LABEL_TOKENS = 8  # for a label, and what some models put around it
_CHARACTERS = 4  # a token, where a server does not count


class ServerModel:
    """Asks a `ChatServer`, several prompts at a time; its retries and errors are the server's.

    A label's probability is that of the first token, of the `top_logprobs` most probable ones that
    the server tells; a label that is not among them has none. Where the server refuses to tell any,
    tells none, or none of a label, the word that was said counts (`Answer.source` "words").

    Args:
        server: whom to ask.
        concurrency: prompts under way at a time.
        top_logprobs: of the first token; 0 to ask for words alone.

    Raises:
        InputError: a value cannot be used.

    >>> model = ServerModel(ChatServer("http://localhost:8000/v1"))      # doctest: +SKIP
    """

    has_logits = False
    has_likelihoods = False

    def __init__(self, server: ChatServer, *, concurrency: int = 8, top_logprobs: int = 20) -> None:
        at_least(1, concurrency=concurrency)
        at_least(0, top_logprobs=top_logprobs)
        self.server = server
        self._concurrency = concurrency
        self._top_logprobs = top_logprobs
        self._tells = top_logprobs > 0

    @property
    def identity(self) -> str:
        """See `RankingModel.identity`."""
        options = sorted(self.server.options.items(), key=lambda one: one[0])
        return f"{self.server.url} {self.server.model} {options} {self._top_logprobs}"

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """See `RankingModel.answers`.

        Raises:
            GeneratorUnavailableError: the server does not answer, or stays overloaded.
            GeneratorRefusedError: it refuses the key, the model or a prompt.
            GenerationError: what answers makes no sense.
            InputError: a `Continue`, which such servers do not answer.
        """
        if len(requests) == 1:
            return [self._answer(requests[0])]
        with ThreadPoolExecutor(self._concurrency) as pool:
            under_way = [pool.submit(self._answer, request) for request in requests]
            try:
                return [one.result() for one in under_way]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _answer(self, request: Request) -> Answer:
        if isinstance(request, Continue):
            raise InputError(
                "a chat server tells no likelihood of given words: use a LocalModel, or another "
                "method than query generation"
            )
        messages = request.prompt.messages
        if not isinstance(request, Choose):
            reply = self._reply(messages, {"max_tokens": request.max_tokens})
            return _answer_of(reply, messages)
        reply = self._chosen(messages)
        answer = _answer_of(reply, messages)
        if (told := _by_logprobs(reply.first_logprobs, request.labels)) is not None:
            return replace(answer, probabilities=told, source="logprobs")
        said = named_label(reply.text, request.labels)
        if said is None:
            return answer
        certain = tuple(float(at == said) for at in range(len(request.labels)))
        return replace(answer, probabilities=certain)

    def _chosen(self, messages: list[dict[str, str]]) -> Reply:
        """A reply that begins with a label, with log-probabilities where the server has them."""
        options: dict[str, Any] = {"max_tokens": _LABEL_TOKENS}
        if not self._tells:
            return self._reply(messages, options)
        try:
            more = {"logprobs": True, "top_logprobs": self._top_logprobs}
            return self._reply(messages, options | more)
        except GeneratorRefusedError:
            reply = self._reply(messages, options)  # if it is the prompt, this one is refused too
            self._tells = False
            return reply

    def _reply(self, messages: list[dict[str, str]], options: Mapping[str, Any]) -> Reply:
        return run(self.server.completed(messages, options))

    def __repr__(self) -> str:
        return f"ServerModel({self.server!r})"


def _answer_of(reply: Reply, messages: Sequence[Mapping[str, str]]) -> Answer:
    asked = sum(len(message["content"]) for message in messages)
    estimated = (-(-asked // _CHARACTERS), -(-len(reply.text) // _CHARACTERS))
    prompt_tokens, reply_tokens = reply.usage or estimated
    return Answer(
        text=reply.text,
        complete=reply.complete,
        prompt_tokens=prompt_tokens,
        reply_tokens=reply_tokens,
    )


def _by_logprobs(
    first: Sequence[tuple[str, float]], labels: Sequence[str]
) -> tuple[float, ...] | None:
    """The labels' shares of the first token's probability; None where no label is among them."""
    shares = [0.0] * len(labels)
    for token, logprob in first:
        for at, label in enumerate(labels):
            if is_label(token.strip(), label):
                shares[at] += math.exp(logprob)
    total = sum(shares)
    return tuple(share / total for share in shares) if total > 0 else None
