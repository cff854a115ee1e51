"""BM25 in other languages than English: terms, and an index that remembers its language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import snowballstemmer
from typer.testing import CliRunner

from unimoer_rag.cli.main import app
from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.pipelines import PipelineConfig
from unimoer_rag.retrieval import (
    BM25Encoder,
    NoVectors,
    RetrieverSettings,
    UnifiedRetriever,
    language_named,
    tokenize,
)
from unimoer_rag.retrieval.identity import agree
from unimoer_rag.retrieval.store import ServerStore
from unimoer_rag.retrieval.words import _CODES, LANGUAGES

GERMAN = (
    "Rückerstattungen erhalten Sie innerhalb von vierzehn Tagen.",
    "Unsere Läden öffnen um neun Uhr.",
    "Hunde müssen an der Leine geführt werden.",
)
CHINESE = ("退款将在十四天内到账。", "商店早上九点开门。", "狗必须拴绳。")


@contextmanager
def by_words(texts: tuple[str, ...] = (), **settings: Any) -> Iterator[UnifiedRetriever]:
    """An index that is searched by words alone."""
    with UnifiedRetriever(NoVectors(), mode="sparse", chunking="whole", **settings) as retriever:
        retriever.add(list(texts))
        yield retriever


def found(retriever: UnifiedRetriever, query: str) -> list[str]:
    return [hit.text for hit in retriever.search(query)]


def test_words_are_stemmed_in_their_language() -> None:
    assert tokenize("Die Häuser und das Haus", "german") == ["haus", "haus"]
    assert tokenize("les maisons et la maison", "french") == ["maison", "maison"]
    assert tokenize("книги, книга", "russian") == ["книг", "книг"]
    assert tokenize("The houses", "any") == ["the", "houses"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_stems_as_its_stemmer_does(language: str) -> None:
    word = "zusammenhang"  # in no list of stop words
    stem = word if language == "any" else snowballstemmer.stemmer(language).stemWord(word)
    assert tokenize(word, language) == [stem]


@pytest.mark.parametrize("language", ["english", "german", "any"])
def test_writing_without_spaces_becomes_pairs(language: str) -> None:
    assert tokenize("退款需要14天", language) == ["退款", "款需", "需要", "14", "天"]
    assert tokenize("ＡＢ手机", language) == ["ab", "手机"]
    assert tokenize("カメラ・レンズ", language) == ["カメ", "メラ", "レン", "ンズ"]
    assert tokenize("환불은 14일", language) == ["환불", "불은", "14", "일"]
    assert tokenize("คืนเงิน", language)[:2] == ["คื", "ืน"]
    assert tokenize("𠮷野家", language) == ["𠮷野", "野家"]


def test_signs_of_vowels_are_part_of_a_word() -> None:
    assert tokenize("हिन्दी, भाषा।", "any") == ["हिन्दी", "भाषा"]
    assert tokenize("q\u0323x", "any") == ["q\u0323x"]  # an accent that no composed letter has


def test_german_is_found_by_german_words() -> None:
    query = "Wann wird eine Rückerstattung ausgezahlt, und an welchem Tag?"
    with by_words(GERMAN, language="german") as retriever:
        assert found(retriever, query) == [GERMAN[0]]
        assert found(retriever, "Um wie viel Uhr öffnet der Laden?") == [GERMAN[1]]
        assert found(retriever, "Muss mein Hund an die Leine?")[0] == GERMAN[2]
    with by_words(GERMAN) as english:  # the premise: by English rules another text is found
        assert GERMAN[0] not in found(english, query)


def test_chinese_is_found_in_an_index_of_any_language() -> None:
    for language in (None, "german", "any"):
        with by_words((*GERMAN, *CHINESE), language=language) as retriever:
            assert found(retriever, "怎么申请退款？") == [CHINESE[0]]
            assert found(retriever, "几点开门") == [CHINESE[1]]


def test_an_index_keeps_its_language(tmp_path: Path) -> None:
    folder = tmp_path / "german.index"
    with by_words(GERMAN, index=folder, language="german") as retriever:
        assert retriever.language == "german"
    for again in (None, "german"):
        with by_words(index=folder, language=again) as retriever:
            assert retriever.language == "german"
            assert found(retriever, "Rückerstattung") == [GERMAN[0]]
    with (
        pytest.raises(IndexMismatchError, match=r"'german', not of 'english': leave language out"),
        by_words(index=folder, language="english"),
    ):
        pass


def test_an_index_of_the_first_releases_stays_as_it_is() -> None:
    model, first = NoVectors(), {"k1": 1.2, "b": 0.75, "average_length": 88.0}
    with ServerStore.memory(dimension=1) as store:
        agree(store, model, "whole", BM25Encoder(), where="here")
        identity = dict(store.identity() or {})
        assert identity["bm25"] == {**first, "language": "english", "tokenizer": 2}
        store.set_identity({**identity, "bm25": first})
        encoder = agree(store, model, None, BM25Encoder(), where="here").encoder
        assert asdict(encoder) == {**first, "language": "english", "tokenizer": 1}
        # As its passages were: a run of letters, parted at marks, is a word.
        assert encoder.query("退款需要") == encoder.query("退款需要!")
        assert len(encoder.query("退款需要").indices) == 1
        assert tokenize("हिन्दी", tokenizer=1) == ["ह", "न", "द"]
        for newer in ({"language": "klingon"}, {"tokenizer": 3}, {"stemmer": "x"}):
            store.set_identity({**identity, "bm25": {**first, **newer}})
            with pytest.raises(IndexMismatchError, match="the index at here"):
                agree(store, model, None, BM25Encoder(), where="here")


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("de", "german"),
        ("DE", "german"),
        ("de-CH", "german"),
        ("pt_BR", "portuguese"),
        ("nb", "norwegian"),
        ("el", "greek"),
        ("yi", "yiddish"),
        ("German", "german"),
        ("any", "any"),
    ],
)
def test_a_language_goes_by_its_code_too(tmp_path: Path, name: str, language: str) -> None:
    assert language_named(name) == language
    assert RetrieverSettings(language=name).language == language
    file = tmp_path / "pipeline.yaml"
    file.write_text(f'retrieve:\n  language: "{name}"\n', encoding="utf-8")
    assert PipelineConfig.load(file).retrieve.language == language


def test_every_stemmer_has_its_code() -> None:

    assert {"any", *_CODES.values()} == set(LANGUAGES)
    for name in ("xx", "", "klingon", 3, None):
        with pytest.raises(InputError, match=r"unknown language .*ISO 639-1 code"):
            language_named(name)  # type: ignore[arg-type]


def test_an_unknown_language_is_refused_with_those_there_are(tmp_path: Path) -> None:
    told = r"unknown language 'klingon': expected one of any, arabic, .*Chinese"
    for refused in (
        lambda: tokenize("a", "klingon"),
        lambda: BM25Encoder(language="klingon"),
        lambda: UnifiedRetriever("no-such-model", language="klingon"),
    ):
        with pytest.raises(InputError, match=told):
            refused()
    with pytest.raises(InputError, match="unknown tokenizer 3"):
        BM25Encoder(tokenizer=3)
    file = tmp_path / "pipeline.yaml"
    file.write_text("retrieve:\n  language: klingon\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"yaml:2: .*{told}"):
        PipelineConfig.load(file)


@pytest.mark.slow
def test_each_door_opens_an_index_of_a_language(tmp_path: Path, minilm_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join(GERMAN), encoding="utf-8")
    folder = tmp_path / "german.index"
    words = ["--language", "german", "--index", str(folder)]
    done = CliRunner().invoke(app, ["index", str(tmp_path / "a.txt"), *words])
    assert done.exit_code == 0, done.output
    query = ["search", "Rückerstattung", "--index", str(folder), "--mode", "sparse", "--json"]
    done = CliRunner().invoke(app, [*query, "--rerank", "0"])
    assert GERMAN[0] in json.loads(done.stdout)[0]["text"]
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"retrieve:\n  index: {folder}\n  language: german\n", encoding="utf-8")
    with PipelineConfig.load(file).retrieve.open() as retriever:
        assert retriever.language == "german"
