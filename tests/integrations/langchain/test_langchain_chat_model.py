"""UniMoERChatModel: LangChain's standard tests, and what the resident decoder writes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from generation.tiny_llm import reference, save_llm
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_helpers import EXACT
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from langchain_unimoer import UniMoERChatModel, UniMoEREmbeddings
from langchain_unimoer.until import Until
from pydantic import ValidationError

from unimoer_rag.errors import BackboneError, GeneratorRefusedError, InputError
from unimoer_rag.model.unimoer import UniMoER

N = 40
ROLES = [
    {"role": "system", "content": "Answer in a word."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "And now?"},
]
MESSAGES = [
    SystemMessage(ROLES[0]["content"]),
    HumanMessage(ROLES[1]["content"]),
    AIMessage(ROLES[2]["content"]),
    HumanMessage([{"type": "text", "text": ROLES[3]["content"]}]),
]


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a tiny random decoder, which is held, so that it is loaded once."""
    folder = save_llm(tmp_path_factory.mktemp("llm") / "tiny", max_position_embeddings=8192)
    held = UniMoER.from_pretrained(folder, **EXACT)
    yield folder
    del held


class _Tiny:
    @pytest.fixture(autouse=True)
    def _folder(self, llm: Path) -> None:
        self.llm = llm

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return UniMoERChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": str(self.llm), "device": "cpu", "dtype": "float32"}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"temperature": 0.0, "max_tokens": 8}  # no timeout and no retries: nothing is remote


class TestUnit(_Tiny, ChatModelUnitTests):
    pass


class TestIntegration(_Tiny, ChatModelIntegrationTests):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "max_tokens": 8}


def model(llm: Path, **settings: Any) -> UniMoERChatModel:
    return UniMoERChatModel(str(llm), **EXACT, **{"max_tokens": N, **settings})


@pytest.fixture(scope="module")
def expected(llm: Path) -> str:
    """The reply of transformers' own loop."""
    tokenizer, ids = reference(llm, ROLES, N)
    return str(tokenizer.decode(ids))


# -- what it writes ---------------------------------------------------------------------------


@pytest.mark.slow
async def test_it_writes_what_transformers_writes(llm: Path, expected: str) -> None:
    chat = model(llm)
    prompt = "<|system|>Answer in a word.\n<|user|>Hello?\n<|assistant|>Yes.\n<|user|>And now?\n"
    n = len(chat.get_token_ids(prompt + "<|assistant|>"))
    usage = {"input_tokens": n, "output_tokens": N, "total_tokens": n + N}
    for reply in (chat.invoke(MESSAGES), await chat.ainvoke(MESSAGES)):
        assert reply.text == expected
        assert reply.usage_metadata == usage
        told = {"finish_reason": "length", "model_name": str(llm), "model_provider": "unimoer"}
        assert reply.response_metadata == told
    for chunks in (list(chat.stream(MESSAGES)), [chunk async for chunk in chat.astream(MESSAGES)]):
        assert "".join(chunk.text for chunk in chunks) == expected
        whole = sum(chunks[1:], chunks[0])
        assert (whole.usage_metadata, whole.response_metadata) == (usage, told)


@pytest.mark.slow
async def test_a_stop_word_ends_the_reply_and_is_none_of_it(llm: Path, expected: str) -> None:
    word = expected[20:23]
    until = expected[: expected.index(word)]
    bound = model(llm, stop=["nowhere"]).bind(stop=["nowhere", word])
    own = model(llm, stop=[word])
    for reply in (own.invoke(MESSAGES), await own.ainvoke(MESSAGES), bound.invoke(MESSAGES)):
        assert reply.text == until
        assert reply.response_metadata["finish_reason"] == "stop"
        assert reply.usage_metadata["output_tokens"] < N
    assert "".join(chunk.text for chunk in own.stream(MESSAGES)) == until
    assert model(llm, stop=["nowhere"]).invoke(MESSAGES).text == expected


@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("stops", [["abcabd"], ["zz", "abd", "cab"], ["d"], ["nothing"], []])
def test_stop_words_are_found_however_a_text_is_cut(stops: list[str], size: int) -> None:
    text = "xxabcabcabd and what follows"
    places = [text.index(stop) for stop in stops if stop in text]
    until = Until(stops)
    pieces = [until.take(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join([*pieces, until.end()]) == text[: min(places, default=len(text))]
    assert until.found == bool(places)


def test_the_weights_are_those_that_embed(llm: Path) -> None:
    chat, embeddings = model(llm), UniMoEREmbeddings(str(llm), **EXACT)
    assert chat.unimoer is embeddings.unimoer
    assert pickle.loads(pickle.dumps(chat)) == chat
    assert chat.model_copy(update={"max_tokens": 3}).invoke("Hello?").usage_metadata is not None


@pytest.mark.slow
def test_settings_of_a_call_go_before_the_models(llm: Path, expected: str) -> None:
    chat = model(llm)
    assert chat.bind(max_tokens=3).invoke(MESSAGES).usage_metadata["output_tokens"] == 3
    drawn = chat.invoke(MESSAGES, temperature=2.0, seed=1).text
    assert drawn != expected
    assert drawn == chat.invoke(MESSAGES, temperature=2.0, seed=1).text
    assert drawn != chat.invoke(MESSAGES, temperature=2.0, seed=2).text
    asked = chat._get_ls_params(stop=["x"], max_tokens=3)
    assert (asked["ls_provider"], asked["ls_max_tokens"], asked["ls_stop"]) == ("unimoer", 3, ["x"])


@pytest.mark.slow
def test_it_fits_into_lcel(llm: Path) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Answer in {how}."), ("user", "{it}")])
    chain = prompt | model(llm) | StrOutputParser()
    given = {"how": "a word", "it": "Hello?"}
    whole = chain.invoke(given)
    assert whole == "".join(chain.stream(given)) == chain.batch([given, given])[1]
    kept = trim_messages(MESSAGES, max_tokens=30, token_counter=model(llm), include_system=True)
    assert MESSAGES[0] in kept


# -- what it refuses --------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([HumanMessage([IMAGE])], "a message with image: the model reads text alone"),
        (
            [ToolMessage("7", tool_call_id="1")],
            "a message is of the role 'tool': expected a System",
        ),
        ([ChatMessage("x", role="judge")], "a message is of the role 'judge'"),
        (
            [AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])],
            "a message with tool_call",
        ),
        ([], "there are no messages to reply to"),
    ],
)
def test_messages_that_it_does_not_read(llm: Path, messages: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model(llm).invoke(messages)


async def test_settings_that_cannot_be_used(llm: Path, tiny_bert: Path) -> None:
    for settings, message in (
        ({"max_tokens": 0}, "max_tokens is 0: expected 1 or more"),
        ({"temperature": -1.0}, "temperature is -1.0: expected 0 or more"),
        ({"stop": [""]}, "stop is .*: expected a list of texts, none of them empty"),
        ({"template_options": {"messages": 1}}, "template_options has 'messages'"),
        ({"tokens": 3}, "Extra inputs are not permitted"),
    ):
        with pytest.raises(ValueError, match=message):
            model(llm, **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a call of this chat model takes no 'tools'"):
        await model(llm).ainvoke("Hello?", tools=[])
    with pytest.raises(InputError, match="max_tokens is 0"):
        model(llm).invoke("Hello?", max_tokens=0)
    with pytest.raises(GeneratorRefusedError, match=r"the prompt has .* tokens, and .* takes 8192"):
        model(llm).invoke("Hello? " * 4000)
    with pytest.raises(BackboneError, match="is no decoder"):
        UniMoERChatModel(str(tiny_bert), **EXACT)
    with pytest.raises(ValidationError, match=r"model\n.*Field required"):
        UniMoERChatModel()  # type: ignore[call-arg]
