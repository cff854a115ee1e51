"""UniMoERLLM writes what the decoder writes, in every way that LlamaIndex asks."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from generation.tiny_llm import reference, save_llm
from llama_index.core import PromptTemplate
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index.core.llms import ChatMessage, ImageBlock, MessageRole
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.llms.unimoer import UniMoERLLM
from llama_index_helpers import EXACT, Events

from unimoer_rag.errors import (
    BackboneError,
    GeneratorRefusedError,
    InputError,
    UnimoerError,
)
from unimoer_rag.generation import LocalLLM
from unimoer_rag.generation.writer import Reply

N = 12
MESSAGES = [
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content="How long do refunds take?"),
]
PLAIN = [{"role": message.role.value, "content": str(message.content)} for message in MESSAGES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llm(tmp_path_factory.mktemp("llm"), max_position_embeddings=4096)


@pytest.fixture(scope="module")
def llm(folder: Path) -> UniMoERLLM:
    return UniMoERLLM(str(folder), max_tokens=N, **EXACT)


def said(folder: Path, messages: list[dict[str, str]]) -> str:
    """What transformers' own loop writes, less the white space that it begins with."""
    tokenizer, ids = reference(folder, messages, N)
    return str(tokenizer.decode(ids, skip_special_tokens=True)).lstrip()


async def test_a_reply_is_that_of_transformers(llm: UniMoERLLM, folder: Path) -> None:
    whole = said(folder, PLAIN)
    reply = llm.chat(MESSAGES)
    assert reply.message.role == MessageRole.ASSISTANT
    text = str(reply.message.content)
    assert len(text) > 3
    # The last token may be the half of a character, which is not told.
    assert whole.startswith(text)
    assert len(whole) - len(text) <= 1
    assert (await llm.achat(MESSAGES)).message.content == text
    assert reply.raw == {"model": str(folder), "finish_reason": "length"}
    for pieces in (
        list(llm.stream_chat(MESSAGES)),
        [piece async for piece in await llm.astream_chat(MESSAGES)],
    ):
        assert "".join(str(piece.delta) for piece in pieces) == text
        assert pieces[-1].message.content == text
        assert (pieces[-1].delta, pieces[-1].raw) == ("", reply.raw)


async def test_a_prompt_is_what_a_user_says(llm: UniMoERLLM, folder: Path) -> None:
    prompt = "How long?"
    text = llm.complete(prompt).text
    assert said(folder, [{"role": "user", "content": prompt}]).startswith(text)
    assert (await llm.acomplete(prompt)).text == text
    assert [piece.text for piece in llm.stream_complete(prompt)][-1] == text
    assert [piece.text async for piece in await llm.astream_complete(prompt)][-1] == text
    assert llm.predict(PromptTemplate("How {what}?"), what="long") == text
    assert "".join(llm.stream(PromptTemplate("How {what}?"), what="long")) == text


async def test_replies_at_once_are_those_alone(llm: UniMoERLLM) -> None:
    prompts = [f"Prompt {n}" for n in range(4)]
    alone = [llm.complete(prompt).text for prompt in prompts]
    together = await asyncio.gather(*map(llm.acomplete, prompts))
    assert [reply.text for reply in together] == alone


def test_what_it_tells_of_itself(llm: UniMoERLLM, folder: Path) -> None:
    told = llm.metadata
    assert (told.context_window, told.num_output) == (4096, N)
    assert (told.model_name, told.is_chat_model) == (str(folder), True)
    assert not told.is_function_calling_model
    assert llm.to_dict()["model"] == str(folder)
    assert llm.to_dict()["class_name"] == "UniMoERLLM"


def test_one_copy_of_the_weights(llm: UniMoERLLM, folder: Path) -> None:
    embedding = UniMoEREmbedding(str(folder), **EXACT)
    writes: Any = llm._language_model
    assert llm.unimoer is embedding.unimoer
    with pytest.raises(InputError, match="neither embeds nor reranks"):
        assert UniMoERLLM(LocalLLM(str(folder), **EXACT)).unimoer
    resident = {parameter.data_ptr() for parameter in embedding.unimoer.backbone.parameters()}
    assert {parameter.data_ptr() for parameter in writes.model.parameters()} <= resident
    assert copy.deepcopy(llm) is llm
    with pytest.raises(UnimoerError, match="cannot be pickled"):
        pickle.dumps(llm)


def test_a_local_model_as_it_is(folder: Path) -> None:
    class Watched(LocalLLM):
        replies: list[Any] = []  # noqa: RUF012

        def begin(self, messages: list[dict[str, str]]) -> Any:
            self.replies.append(super().begin(messages))
            return self.replies[-1]

    local = Watched(str(folder), max_tokens=300, **EXACT)
    llm = UniMoERLLM(local)
    assert (llm.model, llm.max_tokens, llm.context_window) == (str(folder), 300, 4096)
    pieces = llm.stream_chat(MESSAGES)
    assert next(pieces).delta
    [reply] = local.replies
    n = len(reply.ids)
    local.device(lambda: None).result(60)
    assert 0 < n == len(reply.ids) < 300  # nothing is written that nobody asks for


async def test_events_tell_of_it(llm: UniMoERLLM, events: Events) -> None:
    llm.complete("x")
    await llm.achat(MESSAGES)
    completed, chatted = events.of(LLMCompletionEndEvent, LLMChatEndEvent)
    assert completed.response.text
    assert chatted.response.message.content


def test_thoughts_are_no_part_of_a_reply() -> None:
    class Thinks:
        """A reply in pieces, ended by itself."""

        name, complete = "thinks", True

        def __init__(self) -> None:
            self.asked: Any = None
            self.pieces = ["<thi", "nk>Hm.</think> ", "14 ", "days."]

        def begin(self, messages: list[dict[str, str]]) -> Reply:
            self.asked = messages
            return self

        def more(self) -> Any:
            from concurrent.futures import Future

            future: Future[str | None] = Future()
            future.set_result(self.pieces.pop(0) if self.pieces else None)
            return future

        def close(self) -> None: ...

    model = Thinks()
    llm = UniMoERLLM(model)
    roles = ["developer", "user", "chatbot", "model", "assistant", "tool", "function"]
    reply = llm.chat([ChatMessage(role=role, content=role) for role in roles])
    assert reply.message.content == "14 days."
    assert reply.raw == {"model": "thinks", "finish_reason": "stop"}
    assert [message["role"] for message in model.asked] == [
        *("system", "user", "assistant", "assistant", "assistant", "tool", "tool")
    ]
    assert llm.metadata.num_output == 256


class Finds(BaseRetriever):
    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="Refunds take 14 days."), score=1.0)]


def test_a_query_engine_asks_it(llm: UniMoERLLM) -> None:
    engine = RetrieverQueryEngine.from_args(Finds(), llm=llm)
    response = engine.query("How long do refunds take?")
    assert str(response)
    assert response.source_nodes[0].text == "Refunds take 14 days."


def test_what_cannot_be_used_is_refused(llm: UniMoERLLM, folder: Path) -> None:
    with pytest.raises(InputError, match="takes no 'temperature' for one reply"):
        llm.complete("x", temperature=1.0)
    with pytest.raises(InputError, match="holds a ImageBlock"):
        llm.chat([ChatMessage(blocks=[ImageBlock(url="http://localhost/a.png")])])
    with pytest.raises(GeneratorRefusedError, match="takes 4096 with its reply"):
        llm.complete("long " * 5000)
    with pytest.raises(BackboneError):
        UniMoERLLM("unimoer-minilm", **EXACT)
    with pytest.raises(InputError, match="max_tokens is 0"):
        UniMoERLLM(str(folder), max_tokens=0, **EXACT)
    with pytest.raises(InputError, match="temperature is a setting of the ResidentLLM"):
        UniMoERLLM(llm._language_model, temperature=0.5)
    with pytest.raises(InputError, match="model is a int"):
        UniMoERLLM(3)  # type: ignore[arg-type]
