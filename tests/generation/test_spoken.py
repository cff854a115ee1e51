"""The answer in a model's text: without its thoughts, in whole characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.generation.spoken import SpokenText, WholeCharacters, spoken

ANSWERS = [
    ("14 days [1].", "14 days [1]."),
    ("<think>\nPassage [2]? No.\n</think>\n\n14 days [1].", "14 days [1]."),
    ("  <think></think>NO ANSWER", "NO ANSWER"),
    ("<THINK>a</Think> b", "b"),
    ("<thinking>a</thinking> b", "b"),
    ("[THINK]a[/THINK] b", "b"),
    ("<think>a</think>\n<think>b</think>\nc", "c"),
    ("<think>a<think>b</think>c</think>d", "d"),
    # Only mentioned: it never closes.
    ("<think>the tag <think> opens</think> d", "d"),
    ("<think>cut off here", ""),
    ("<think>", ""),
    # Behind the beginning it is a word of the answer.
    ("Write <think> first.", "Write <think> first."),
    ("<think>a</think>b <think>c</think>", "b <think>c</think>"),
    ("<think>a</think>b </think> c", "b </think> c"),
    ("<thinker> is a word", "<thinker> is a word"),
    ("<", "<"),
    ("<thin", "<thin"),
    ("", ""),
]


@pytest.mark.parametrize(("reply", "answer"), ANSWERS)
def test_thoughts_are_no_part_of_the_answer(reply: str, answer: str) -> None:
    assert spoken(reply) == answer


def test_a_reply_may_begin_inside_its_thoughts() -> None:
    assert spoken("Passage [2]? No.\n</think>\n\n14 days [1].") == "14 days [1]."


def streamed(pieces: list[str]) -> str:
    stream = SpokenText()
    return "".join([*map(stream.take, pieces), stream.end()])


@pytest.mark.parametrize(("reply", "answer"), ANSWERS)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_the_same_in_pieces_of_any_size(reply: str, answer: str, size: int) -> None:
    pieces = [reply[at : at + size] for at in range(0, len(reply), size)]
    assert streamed(pieces).strip() == answer


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<thi", "nk>", "</th", "ink>", "a", " ", "\n"]),
        max_size=12,
    )
)
def test_pieces_say_what_the_whole_says(pieces: list[str]) -> None:
    text = "".join(pieces)
    if text.find("</think>") == -1 or text.lstrip().startswith("<think>"):
        assert streamed(pieces).strip() == spoken(text).strip()


def test_words_of_an_answer_are_told_at_once() -> None:
    stream = SpokenText()
    assert stream.take("14 ") == "14 "
    assert stream.take("<think> ") == "<think> "
    thinking = SpokenText()
    assert [thinking.take(piece) for piece in ("<th", "ink>a", "</thi", "nk>", " b", " c")] == [
        "", "", "", "", "b", " c",
    ]  # fmt: skip


def test_long_thoughts_are_not_kept() -> None:
    stream = SpokenText()
    stream.take("<think>")
    for _ in range(1000):
        stream.take("word " * 100)
    assert len(stream._held) < 50


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\ud83d", "\ude00b"], "a😀b"),
        (["\ud83d", "", "\ude00"], "😀"),
        (["\ud83d\ude00"], "😀"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a\ud83d"], "a\ufffd"),
        (["\ude00a"], "\ufffda"),
        (["\ud83d\ud83d", "\ude00"], "\ufffd😀"),
        (["a\x1b[2Jb\x00"], "a [2Jb "),
        (["é", "日本", "😀"], "é日本😀"),
    ],
)
def test_characters_cut_in_two(pieces: list[str], text: str) -> None:
    whole = WholeCharacters()
    found = "".join([*map(whole.take, pieces), whole.end()])
    assert found == text
    found.encode()


@given(st.text(st.characters(), max_size=20), st.integers(1, 5))
def test_text_that_can_be_kept_stays(text: str, size: int) -> None:
    data = text.encode("utf-16-le", "surrogatepass")
    step = 2 * size
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    whole, once = WholeCharacters(), WholeCharacters()
    found = [whole.take(piece.decode("utf-16-le", "surrogatepass")) for piece in pieces]
    assert "".join(found) + whole.end() == once.take(text) + once.end()
    "".join(found).encode()
