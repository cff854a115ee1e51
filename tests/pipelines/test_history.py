"""A conversation is read in whichever form it was kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.errors import InputError
from unimoer_rag.pipelines import Answer
from unimoer_rag.pipelines.history import Turn, read_history


def test_every_form_says_the_same() -> None:
    expected = [Turn("Refunds?", "14 days."), Turn("When?", None)]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Refunds?"},
        {"role": "assistant", "content": [{"type": "text", "text": "14 days [1]."}]},
        {"role": "tool", "content": None},
        {"role": "user", "content": "When?"},
    ]
    assert read_history(messages, "?") == expected
    assert read_history([("Refunds?", "14 days [1]."), ["When?", None]], "?") == expected
    assert read_history((Answer(t.question, t.answer, None) for t in expected), "?") == [
        Turn(t.question, t.answer, settled=True) for t in expected
    ]
    mixed: list[Any] = [("Refunds?", "14 days."), {"role": "user", "content": "When?"}]
    assert read_history(mixed, "?") == expected
    assert read_history(None, "?") == read_history([], "?") == []


def test_an_answer_was_to_the_question_that_stands_alone() -> None:
    answer = Answer("And Kendal?", "Bryony Teller", None, standalone="Who manages Kendal?")
    assert read_history([answer], "?") == [
        Turn("Who manages Kendal?", "Bryony Teller", settled=True)
    ]


def test_the_question_itself_is_no_turn() -> None:
    messages = [{"role": "user", "content": "Refunds?"}]
    assert read_history(messages, "Refunds?") == []
    assert read_history([("Refunds?", "14 days")], "Refunds?") == [Turn("Refunds?", "14 days")]


def test_only_the_last_turns_count() -> None:
    turns = read_history([(f"{n}?", None) for n in range(1000)], "?")
    assert [turn.question for turn in turns] == [f"{n}?" for n in range(994, 1000)]


def test_two_replies_are_one() -> None:
    said = [{"role": r, "content": c} for r, c in (("user", "a?"), ("assistant", "b"))]
    assert read_history([*said, said[1]], "?") == [Turn("a?", "b\nb")]


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ("How long?", "history is a str: expected a sequence of turns"),
        ({"role": "user", "content": "x"}, "history is a dict"),
        (7, "history is a int"),
        ([None], r"history\[0\] is a NoneType: expected an Answer, a pair"),
        ([("a?", "b"), ("a", "b", "c")], r"history\[1\] is a tuple of 3"),
        ([("a?", 7)], r"history\[0\] is a tuple of 2"),
        (["ab"], r"history\[0\] is a str"),
        ([("user", "a?")], r"history\[0\] is \('user', ...\): expected a message as a dict"),
        ([{"role": "human", "content": "a"}], r"history\[0\] has the role 'human'"),
        ([{"content": "a"}], "has no role, only"),
        ([{"role": "user", "content": 7}], r"history\[0\] has no text for its content"),
    ],
)
def test_what_is_no_history_is_refused(history: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_history(history, "?")


content = st.none() | st.text() | st.integers() | st.lists(st.dictionaries(st.text(), st.text()))
things = st.one_of(
    st.tuples(st.text(), st.none() | st.text()),
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "x"]), "content": content}
    ),
    st.builds(Answer, st.text(), st.none() | st.text(), st.none()),
    content,
)


@given(st.lists(things, max_size=8), st.text())
def test_anything_is_read_or_refused(history: list[Any], question: str) -> None:
    try:
        turns = read_history(history, question)
    except InputError:
        return
    assert len(turns) <= min(6, len(history))
    for turn in turns:
        f"{turn.question}{turn.answer}".encode()  # can be kept and sent


def test_messages_of_frameworks_are_taken_as_they_are() -> None:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
    from llama_index.core.llms import ChatMessage

    expected = [Turn("Refunds?", "Within 14 days.")]
    chain = [SystemMessage("Be brief."), HumanMessage("Refunds?"), AIMessage("Within 14 days.")]
    index = [
        ChatMessage(role="user", content="Refunds?"),
        ChatMessage(role="assistant", content="Within 14 days."),
    ]
    assert read_history(chain, "When?") == read_history(index, "When?") == expected


def test_a_message_without_a_role() -> None:
    with pytest.raises(InputError, match=r"history\[0\] has no role, only 'rolle', 'content'"):
        read_history([{"rolle": "user", "content": "Refunds?"}], "When?")
