"""What chat servers send: OpenAI's chunks, and those of Azure, vLLM, llama.cpp and proxies."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.errors import (
    GenerationError,
    GeneratorRefusedError,
    GeneratorUnavailableError,
    UnimoerError,
)
from unimoer_rag.generation.chat_wire import Reply, check_response
from unimoer_rag.generation.event_lines import LineSplitter

URL = "http://localhost:8000/v1"


def choice(content: Any = None, reason: Any = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": content}, "finish_reason": reason, **more}


def chunk(*choices: Any, **more: Any) -> str:
    return f"data: {json.dumps({'choices': list(choices), **more})}"


WORDS, MORE = chunk(choice("14 ")), chunk(choice("days [1]."))
END = chunk(choice(reason="stop"))


def read(*lines: str) -> Reply:
    reply = Reply()
    told = [piece for line in lines for piece in reply.take(line, URL)]
    assert "".join(told) == reply.text
    return reply


@pytest.mark.parametrize(
    "line",
    [
        "",
        ": OPENROUTER PROCESSING",
        ":",
        "event: ping",
        "id: 7",
        "retry: 100",
        "nonsense",
        "data:",
        "data: ",
        "data: null",
        "data: {}",
        'data: {"type": "ping"}',
        # Azure tells what its filter thinks of the prompt first, and of the answer in between.
        chunk(prompt_filter_results=[{"prompt_index": 0}]),
        chunk({"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}),
        # Usage, of which vLLM sends some in every chunk.
        chunk(usage={"total_tokens": 9}),
        'data: {"usage": {"total_tokens": 9}}',
        'data: {"choices": null, "usage": {}}',
        chunk(None),
        chunk(choice(), error=None),
        chunk(choice(), error={}),
        chunk({"index": 0, "delta": None}),
        chunk({"index": 0, "delta": {"role": "assistant"}}),
        chunk({"index": 0, "delta": {"content": None, "reasoning_content": "Let me see."}}),
        chunk({"index": 0, "delta": {"reasoning": "Let me see.", "content": ""}}),
        chunk({"index": 0, "delta": {"tool_calls": [{"index": 0}]}}),
        # Another choice, of a request for several.
        chunk({"index": 1, "delta": {"content": "Other words"}, "finish_reason": "length"}),
        'data: {"choices": [{"delta": {}, "logprobs": {"values": [NaN, -Infinity]}}]}',
    ],
)
def test_lines_without_words_are_passed_over(line: str) -> None:
    reply = read(WORDS, line, MORE, END, "data: [DONE]")
    assert (reply.text, reply.reason, reply.done) == ("14 days [1].", "stop", True)


@pytest.mark.parametrize(
    "content",
    [
        "14 days",
        [{"type": "text", "text": "14 "}, {"type": "text", "text": "days"}],
        [{"type": "thinking", "thinking": [{"text": "Hm."}]}, {"type": "text", "text": "14 days"}],
        [{"type": "text", "text": {"value": "14 days"}}],
        ["14 ", None, "days"],
    ],
)
def test_words_are_text_or_parts_of_text(content: Any) -> None:
    assert read(chunk(choice(content))).text == "14 days"
    body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    assert Reply.of(json.dumps(body), URL).text == "14 days"


def test_words_and_the_end_may_share_a_chunk() -> None:
    reply = read(chunk(choice("14 days", "stop")), chunk(usage={}), "data: [DONE]")
    assert (reply.text, reply.complete, reply.cut_by) == ("14 days", True, "")


@pytest.mark.parametrize("end", ["[DONE]", "[done]", " [DONE] ", '"[DONE]"', "DONE"])
def test_the_last_word_in_several_spellings(end: str) -> None:
    reply = read(WORDS, f"data:{end}")
    assert (reply.done, reply.complete) == (True, True)


@pytest.mark.parametrize(
    ("reason", "cut_by"),
    [
        ("stop", ""),
        ("eos_token", ""),
        ("end_turn", ""),
        ("STOP", ""),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("abort", "abort"),
        ("something new", "something new"),
        (7, "7"),
    ],
)
def test_what_ended_a_reply(reason: Any, cut_by: str) -> None:
    whole = {"choices": [{"message": {"content": "14"}, "finish_reason": reason}]}
    for reply in (read(WORDS, chunk(choice(reason=reason))), Reply.of(json.dumps(whole), URL)):
        assert (reply.complete, reply.cut_by) == (not cut_by, cut_by)


@pytest.mark.parametrize("reason", [None, "", "null", False])
def test_what_has_not_ended(reason: Any) -> None:
    reply = read(chunk(choice("14", reason)))
    assert reply.reason is None
    with pytest.raises(GenerationError, match="broke off after 2 characters"):
        reply.check_ended(URL)


def test_an_event_of_several_lines() -> None:
    lines = [
        f"data: {line}" for line in json.dumps({"choices": [choice("14 ")]}, indent=1).split("\n")
    ]
    assert len(lines) > 3
    assert read(*lines, "", MORE).text == "14 days [1]."
    # As of a proxy that leaves out the blank lines between.
    assert read(WORDS, MORE, "data: [DONE]").text == "14 days [1]."
    with pytest.raises(GenerationError, match="is no chat completion"):
        read(*lines[:3], "")


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("a \\ud83d", "\\ude00 b", "a 😀 b"),
        ("a \\ud83d", "b", "a \ufffdb"),
        ("a \\ud83c", "", "a \ufffd"),
        ("\\u001b[2J", "b", " [2Jb"),
    ],
)
def test_characters_that_are_cut_in_two(first: str, second: str, text: str) -> None:
    lines = [
        f'data: {{"choices": [{{"delta": {{"content": "{one}"}}}}]}}' for one in (first, second)
    ]
    assert read(*lines, END).text == text
    assert read(*lines, "data: [DONE]").text == text
    read(*lines, END).text.encode()


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "out of memory"}},
        {"error": "out of memory"},
        {"error": {"error": {"message": "out of memory"}}},
        [{"error": {"message": "out of memory", "code": 400}}],
        {"object": "error", "message": "out of memory"},
        {"detail": "out of memory"},
        {"error": {"message": "out of memory", "code": 503}},
    ],
)
def test_an_error_in_the_middle(event: Any) -> None:
    with pytest.raises(GenerationError, match="failed: out of memory") as caught:
        read(WORDS, f"data: {json.dumps(event)}")
    assert not isinstance(caught.value, GeneratorUnavailableError)  # words are out
    with pytest.raises(GenerationError, match="failed: out of memory"):
        read(WORDS, 'error: {"message": "out of memory"}')


@pytest.mark.parametrize("code", [503, "503", 429])
def test_an_overload_before_the_first_word_is_worth_another_try(code: Any) -> None:
    event = json.dumps({"error": {"message": "busy", "code": code}})
    with pytest.raises(GeneratorUnavailableError, match=r"cannot answer now \(busy\)"):
        read(f"data: {event}")
    with pytest.raises(GeneratorUnavailableError, match=r"cannot answer now \(busy\)"):
        Reply.of(event, URL)


@pytest.mark.parametrize(
    "data",
    ["<html>", "3", '"words"', "[]", '{"choices": 3}', '{"choices": [3]}',
     '{"choices": [{"delta": 3}]}', '{"choices": [{"delta": {"content": 3}}]}',
     '{"choices": [{"delta": {"content": [3]}}]}',
     '{"choices": [{"del', "[" * 100_000, "{bad}"],
    ids=lambda data: data[:20],
)  # fmt: skip
def test_what_is_no_chunk_is_an_error(data: str) -> None:
    with pytest.raises(GenerationError, match="is no chat completion"):
        read(f"data: {data}", "")
    with pytest.raises(GenerationError, match="is no chat completion"):
        Reply.of(data, URL)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["choices", "delta", "message", "content", "error", "text", "finish_reason",
                         "index", "type", "code", "detail"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.slow
@given(json_values)
def test_any_json_is_words_or_an_error_of_ours(value: Any) -> None:
    for read_it in (lambda t: list(Reply().take(f"data: {t}", URL)), lambda t: Reply.of(t, URL)):
        try:
            read_it(json.dumps(value))
        except UnimoerError as error:
            str(error).encode()


# -- failures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"message": "too long"}}',
        '{"error": "too long"}',
        '{"message": "too long"}',
        '{"detail": [{"msg": "too long"}]}',
        '[{"error": {"message": "too long"}}]',
        "too long",
        "too\n\n  long",
    ],
)
def test_what_a_server_says_of_a_failure(body: str) -> None:
    with pytest.raises(GeneratorRefusedError, match=r"status 400.*: too long$"):
        check_response(httpx.Response(400), URL, body)


@pytest.mark.parametrize(
    "body", ['{"error": {"message": "\\ud83c"}}', "[" * 99999, "", "null", "{}"]
)
def test_failures_can_be_printed(body: str) -> None:
    with pytest.raises(GeneratorRefusedError) as caught:
        check_response(httpx.Response(418), URL, body)
    str(caught.value).encode()


def test_a_redirect_is_told_and_not_followed() -> None:
    response = httpx.Response(307, headers={"location": "https://me:pw@evil.example/v1?key=x"})
    with pytest.raises(
        GeneratorRefusedError, match=r"sends requests on to https://evil\.example:443"
    ):
        check_response(response, URL, "")


# -- lines ----------------------------------------------------------------------------------


@given(st.lists(st.text("ab\r\n\u2028\x85\x0b", max_size=4), max_size=8))
def test_lines_end_as_events_do_however_they_come(pieces: list[str]) -> None:
    splitter = LineSplitter()
    found = [line for piece in pieces for line in splitter.take(piece)] + [splitter.rest()]
    text = "".join(pieces).replace("\r\n", "\n").replace("\r", "\n")
    assert found == text.split("\n")


def test_a_byte_order_mark_is_left_out() -> None:
    splitter = LineSplitter()
    assert splitter.take("\ufeffdata: a\n\ufeff\n") == ["data: a", "\ufeff"]


def test_a_line_without_an_end_is_refused() -> None:
    splitter = LineSplitter()
    for _ in range(16):
        assert splitter.take("x" * 1024**2) == []
    with pytest.raises(GenerationError, match="more than any answer is long"):
        splitter.take("x")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, (9, 2)),
        ({"prompt_tokens": 9}, (9, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),  # as of servers that do not count
        ({"prompt_tokens": "many"}, None),
        (None, None),
        ([9, 2], None),
    ],
)
def test_tokens_are_told_where_the_server_counts_them(usage: object, expected: object) -> None:
    body = {"choices": [{"message": {"content": "yes"}}], "usage": usage}
    assert Reply.of(json.dumps(body), "http://localhost/v1").usage == expected
